//! The schema as JSON: what `pleach schema` prints.

use serde_json::{Map, Value, json};

use super::{Listed, id_of, sections};
use crate::evaluate::{BUILTINS, SEQUENCES, UNIT_WORDS, Unit, find_unit};
use crate::quantity::{Dimension, show};
use crate::schema::{FAMILIES, FIGURES, Field, NEIGHBOURS, Need, STAGES, Type};
use crate::syntax::{KEYWORDS, Kind};

/// The whole schema: words, units, functions, figures, and every section with its fields.
pub fn schema_json() -> Value {
    let listed = sections();
    let sections: Map<String, Value> = listed
        .iter()
        .map(|one| {
            let fields = one.section.fields.iter();
            let fields: Value = fields.map(|field| field_json(field, &listed)).collect();
            let about =
                json!({"doc": one.section.doc, "fields": fields, "later": one.section.later});
            (one.id.clone(), about)
        })
        .collect();
    json!({
        "schema": 1,
        "keywords": KEYWORDS,
        "declarations": Kind::ALL.map(Kind::word),
        "families": FAMILIES.iter().map(|family| family.name).collect::<Value>(),
        "functions": BUILTINS,
        "figures": FIGURES.iter().map(|(name, of)| json!({"name": name, "unit": of.symbol()})).collect::<Value>(),
        "units": units(),
        "sections": sections,
        "neighbours": neighbours(),
    })
}

/// Unit words, each with what it is worth in base units.
fn units() -> Value {
    let fixed = UNIT_WORDS.iter().filter_map(|word| match find_unit(word)? {
        Unit::Fixed(worth, dimension) => {
            Some(json!({"word": word, "worth": show(&worth), "unit": dimension.symbol()}))
        }
        Unit::Sequence => None,
    });
    let sequences = SEQUENCES.iter();
    let sequences = sequences
        .map(|word| json!({"word": word, "worth": "context", "unit": Dimension::TOKENS.symbol()}));
    fixed.chain(sequences).collect()
}

/// What other programs call our fields.
fn neighbours() -> Value {
    let names = NEIGHBOURS.iter().copied().flatten();
    names
        .map(|(theirs, ours, whose)| json!({"name": theirs, "path": ours, "of": whose}))
        .collect()
}

fn field_json(field: &Field, listed: &[Listed]) -> Value {
    let mut about = Map::new();
    let mut put = |name: &str, value: Value| about.insert(name.to_string(), value);
    put("name", json!(field.name));
    put("doc", json!(field.doc));
    put("type", json!(type_name(field.holds)));
    put("open", json!(field.open));
    let unit = unit_of(field.holds);
    if unit != Dimension::NONE {
        put("unit", json!(unit.symbol()));
    }
    match field.holds {
        Type::Count(least) => put("least", json!(least)),
        Type::Words(words) | Type::WordList(words) => put("words", json!(words)),
        Type::Stages => put("words", json!(STAGES)),
        Type::Truth => put("words", json!(["true", "false"])),
        Type::Variant(kinds) => {
            let ids = kinds.iter().map(|kind| id_of(listed, kind));
            put("kinds", ids.collect())
        }
        Type::Declared(kind, inner) => {
            put("declaration", json!(kind.word()));
            put("section", json!(id_of(listed, inner)))
        }
        Type::Section(inner) | Type::Table(inner) | Type::Rows(inner) | Type::Stack(inner) => {
            put("section", json!(id_of(listed, inner)))
        }
        _ => None,
    };
    if let Some(word) = field.or_word {
        put("or_word", json!(word));
    }
    if let Some(kind) = field.named {
        put("declaration", json!(kind.word()));
    }
    match field.need {
        Need::Required => put("need", json!("required")),
        Need::Optional => put("need", json!("optional")),
        Need::Default(formula) => {
            put("default", json!(formula));
            put("need", json!("default"))
        }
        Need::Outer(formula) => {
            put("default", json!(formula));
            put("need", json!("outer"))
        }
        Need::From(other, formula) => {
            put("default", json!(formula));
            put("from", json!(other));
            put("need", json!("from"))
        }
    };
    Value::Object(about)
}

/// The name of a type.
fn type_name(holds: Type) -> &'static str {
    match holds {
        Type::Count(_) => "count",
        Type::Whole(_) => "whole",
        Type::StepsRoundedUp => "steps",
        Type::Number(_) => "number",
        Type::Fraction => "fraction",
        Type::Plain => "plain",
        Type::Numbers => "numbers",
        Type::Batch => "batch",
        Type::MicroBatch => "micro_batch",
        Type::Text => "text",
        Type::Texts => "texts",
        Type::StepList => "step_list",
        Type::Truth => "truth",
        Type::Words(_) => "word",
        Type::WordList(_) => "words",
        Type::Stages => "stages",
        Type::Section(_) => "section",
        Type::Variant(_) => "variant",
        Type::Declared(..) => "declared",
        Type::Length => "length",
        Type::Table(_) => "table",
        Type::Rows(_) => "rows",
        Type::Stack(_) => "stack",
    }
}

/// What a number of a type counts.
pub(super) fn unit_of(holds: Type) -> Dimension {
    match holds {
        Type::Whole(dimension) | Type::Number(dimension) => dimension,
        Type::StepsRoundedUp | Type::StepList => Dimension::STEPS,
        Type::Batch | Type::MicroBatch | Type::Length => Dimension::TOKENS,
        _ => Dimension::NONE,
    }
}
