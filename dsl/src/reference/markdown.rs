//! The reference page of the language.

use std::fmt::Write as _;

use super::json::unit_of;
use super::{Listed, id_of, sections};
use crate::evaluate::{BUILTINS, SEQUENCES, UNIT_WORDS, Unit, find_unit};
use crate::quantity::{Dimension, show};
use crate::schema::{FAMILIES, FIGURES, Field, NEIGHBOURS, Need, Section, Type};
use crate::syntax::{KEYWORDS, Kind};

/// What stands at the top of the page.
const HEAD: &str = "# Reference of the experiment language\n\n\
    Generated from the schema by `cargo xtask generate`; edits are lost. `pleach schema` prints the same as JSON.\n";

/// The page.
pub fn page() -> String {
    let mut page = HEAD.to_string();
    page.push_str("\n## Words\n\n");
    let families: Vec<&str> = FAMILIES.iter().map(|family| family.name).collect();
    line(
        &mut page,
        "Declarations begin with",
        &Kind::ALL.map(Kind::word),
    );
    line(
        &mut page,
        "Words of the language, which name no field:",
        &KEYWORDS,
    );
    line(&mut page, "Built-in functions:", BUILTINS);
    line(&mut page, "Families of models, to build on:", &families);
    page.push_str("Figures of a placement, for laws and wishes:\n\n");
    for (name, dimension) in FIGURES {
        put(
            &mut page,
            format_args!("- `{name}`: {}\n", dimension.in_words()),
        );
    }
    units(&mut page);
    let listed = sections();
    for one in &listed {
        section(&mut page, one, &listed);
    }
    neighbours(&mut page);
    page
}

fn put(page: &mut String, text: std::fmt::Arguments) {
    page.write_fmt(text).expect("a string takes all text");
}

/// A sentence with a list of words.
fn line(page: &mut String, what: &str, words: &[&str]) {
    put(page, format_args!("{what} {}.\n\n", quoted(words)));
}

fn quoted(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}

/// Units by what they measure.
fn units(page: &mut String) {
    page.push_str("\n## Units\n\nA unit is a word behind a space; `GB/s` divides. Magnitudes `K`, `M`, `B`, `T`, `Ki`, `Mi` touch the number.\n\n");
    page.push_str("| measure | units |\n| --- | --- |\n");
    let mut measures: Vec<(Dimension, Vec<String>)> = Vec::new();
    for word in UNIT_WORDS {
        let Some(Unit::Fixed(worth, dimension)) = find_unit(word) else {
            continue;
        };
        let shown = format!("`{word}` = {}", show(&worth));
        match measures.iter_mut().find(|(known, _)| *known == dimension) {
            Some((_, words)) => words.push(shown),
            None => measures.push((dimension, vec![shown])),
        }
    }
    for (dimension, words) in measures {
        put(
            page,
            format_args!("| {} | {} |\n", dimension.in_words(), words.join(", ")),
        );
    }
    let sequences = quoted(&SEQUENCES);
    put(
        page,
        format_args!("| sequences | {sequences} = `context` tokens |\n"),
    );
}

/// One section with its fields.
fn section(page: &mut String, one: &Listed, listed: &[Listed]) {
    put(
        page,
        format_args!("\n## `{}`\n\n{}\n", one.id, one.section.doc),
    );
    if one.section.fields.is_empty() {
        page.push_str("\nIt has no fields.\n");
    } else {
        page.push_str(
            "\n| field | takes | where it is not set | meaning |\n| --- | --- | --- | --- |\n",
        );
    }
    for field in one.section.fields {
        let row = [
            format!("`{}`", field.name),
            takes(field, listed),
            unset(field),
            field.doc.to_string(),
        ];
        let cells = row.map(|cell| cell.replace('|', "\\|"));
        put(page, format_args!("| {} |\n", cells.join(" | ")));
    }
    if !one.section.later.is_empty() {
        put(
            page,
            format_args!(
                "\nKnown but not built yet: {}.\n",
                quoted(one.section.later)
            ),
        );
    }
}

/// What a field takes, in words.
fn takes(field: &Field, listed: &[Listed]) -> String {
    let link = |section: &'static Section| {
        let id = id_of(listed, section);
        format!("[`{}`](#{})", section.name, id.replace('.', ""))
    };
    let links = |kinds: &[&'static Section]| {
        let links: Vec<String> = kinds.iter().map(|kind| link(kind)).collect();
        links.join(", ")
    };
    let measured = match unit_of(field.holds).symbol() {
        symbol if symbol.is_empty() => "a number".to_string(),
        symbol => format!("a number of {symbol}"),
    };
    let mut words = match field.holds {
        Type::Count(least) => format!("a whole number from {least}"),
        Type::Whole(_) => measured.replacen("a number", "a whole number", 1),
        Type::StepsRoundedUp => format!("{measured}, rounded up"),
        Type::Number(_) | Type::Plain => measured,
        Type::Fraction => "a share: `25%`".to_string(),
        Type::Numbers => "a list of numbers".to_string(),
        Type::Batch => "tokens or sequences".to_string(),
        Type::MicroBatch => "sequences".to_string(),
        Type::Text => "a string".to_string(),
        Type::Texts => "a list of strings".to_string(),
        Type::StepList => "a list of steps".to_string(),
        Type::Truth => "`true`, `false`".to_string(),
        Type::Words(words) => quoted(words),
        Type::WordList(words) => format!("a list of {}", quoted(words)),
        Type::Stages => "`even`, `uneven`, or a list of layer counts".to_string(),
        Type::Section(inner) => format!("the section {}", link(inner)),
        Type::Variant(kinds) => links(kinds),
        Type::Declared(Kind::Model, _) => format!("a model: {}", links(FAMILIES)),
        Type::Declared(kind, inner) => format!("a {} with fields of {}", kind.word(), link(inner)),
        Type::Table(inner) => format!("a table with columns of {}", link(inner)),
        Type::Rows(inner) => format!("a table of {} by row", link(inner)),
        Type::Length => "tokens or steps".to_string(),
        Type::Stack(inner) => format!("a list of {}", link(inner)),
    };
    if let Some(word) = field.or_word {
        put(&mut words, format_args!(", or `{word}`"));
    }
    if let Some(kind) = field.named {
        put(
            &mut words,
            format_args!(", or the name of a `{}`", kind.word()),
        );
    }
    if field.open {
        words.push_str(", or left open by `auto`, `in` or a formula over the placement");
    }
    words
}

/// What holds where a field is not set.
fn unset(field: &Field) -> String {
    match field.need {
        Need::Required if matches!(field.holds, Type::Section(_)) => {
            "as its fields say".to_string()
        }
        Need::Required => "must be set".to_string(),
        Need::Optional => "nothing".to_string(),
        Need::Default(formula) => format!("`{formula}`"),
        Need::Outer(Some(formula)) => format!("as further out, else `{formula}`"),
        Need::Outer(None) => "as further out, else it must be set".to_string(),
        Need::From(other, formula) => {
            format!("`{formula}` from `{other}`; one of them must be set")
        }
    }
}

/// What other programs call our fields.
fn neighbours(page: &mut String) {
    page.push_str(
        "\n## Names in other programs\n\n| their name | here | whose |\n| --- | --- | --- |\n",
    );
    for (theirs, ours, whose) in NEIGHBOURS.iter().copied().flatten() {
        put(page, format_args!("| `{theirs}` | `{ours}` | {whose} |\n"));
    }
}
