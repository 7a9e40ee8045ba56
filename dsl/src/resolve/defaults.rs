//! What holds where nobody set a field. A default is a formula of the language in a little text of its own, so that it can be shown and blamed
//! like any other.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cells::Standing;
use super::elaborate::MACHINES;
use super::{NodeId, Resolver};
use crate::evaluate::{Stop, Value};
use crate::origin::Layer;
use crate::parse::parse_setting;
use crate::problem::Problem;
use crate::schema::{CLUSTER, Field, Need, Section, Type};
use crate::syntax::{Expression, Kind, Place};

/// Defaults that were parsed, by the path and the text they are of.
pub type Defaults = BTreeMap<(String, &'static str), (Arc<Expression>, Place)>;

impl Resolver<'_> {
    /// Fills a section and all below it.
    pub fn fill_defaults(&mut self, node: NodeId) {
        let Some(body) = self.tree.body(node) else {
            return;
        };
        let (schema, incomplete, meant) = (body.schema, body.incomplete, body.meant.clone());
        let unnamed = node != 0 && schema.name == MACHINES && body.kind.is_empty();
        if unnamed {
            self.lacking.push(MACHINES.to_string());
        }
        let set = |resolver: &Self, name: &str| resolver.tree.child(node, name).is_some();
        let written: Vec<&str> = schema
            .fields
            .iter()
            .map(|field| field.name)
            .filter(|name| set(self, name))
            .collect();
        for field in schema
            .fields
            .iter()
            .filter(|field| !written.contains(&field.name))
        {
            if self.settled_by_phases(node, field) {
                continue;
            }
            match field.need {
                Need::Optional => {}
                Need::Default(text) => self.set_default(node, field, text),
                Need::Outer(otherwise) => match (self.is_further_out(node, field), otherwise) {
                    (true, _) => self.set_default(node, field, field.name),
                    (false, Some(text)) => self.set_default(node, field, text),
                    (false, None) => self.missing(node, schema, field, incomplete),
                },
                Need::From(other, text) if written.contains(&other) => {
                    self.set_default(node, field, text)
                }
                Need::Required if node == 0 && field.name == MACHINES => {
                    let place = self.tree.node(0).place;
                    self.unnamed_machines(0, (Layer::Default, place));
                }
                Need::Required | Need::From(..) if schema.name == MACHINES => {
                    self.lacks(node, schema, field, incomplete);
                }
                Need::Required | Need::From(..) => self.missing(
                    node,
                    schema,
                    field,
                    incomplete || meant.contains(&field.name),
                ),
            }
        }
        self.build_stack(node);
        self.count_steps(node);
        let children: Vec<NodeId> = self
            .tree
            .body(node)
            .map(|body| body.children.values().copied().collect())
            .unwrap_or_default();
        for child in children {
            self.fill_defaults(child);
        }
    }

    /// Whether a section further out has a field of the same name.
    fn is_further_out(&self, node: NodeId, field: &Field) -> bool {
        let mut section = self.tree.node(node).parent;
        while let Some(at) = section {
            if self.tree.child(at, field.name).is_some() {
                return true;
            }
            section = self.tree.node(at).parent;
        }
        false
    }

    /// Sets a field to its default.
    pub(super) fn set_default(&mut self, node: NodeId, field: &'static Field, text: &'static str) {
        let (value, place) = self.default_formula(self.tree.path_of(node, field.name), field, text);
        self.set_field(node, field, &value, (Layer::Default, place), false);
    }

    /// The formula of a default, parsed once for all runs of a file.
    fn default_formula(
        &mut self,
        path: String,
        field: &'static Field,
        text: &'static str,
    ) -> (Arc<Expression>, Place) {
        if let Some((value, place)) = self.defaults.get(&(path.clone(), text)) {
            return (value.clone(), *place);
        }
        let line = format!("{} = {text}", field.name);
        let file = self
            .sources
            .add(format!("default of {path}"), line.clone(), false);
        let value = parse_setting(file, &line, line.len() - text.len(), &mut self.problems);
        let place = Place {
            file,
            start: 0,
            end: line.len(),
        };
        let value = Arc::new(value);
        self.defaults.insert((path, text), (value.clone(), place));
        (value, place)
    }

    /// The value a cell would have by default.
    pub fn default_value(
        &mut self,
        id: NodeId,
        field: &'static Field,
        text: &'static str,
    ) -> Result<Value, Stop> {
        let section = self.tree.node(id).parent.unwrap_or(0);
        let path = self.tree.path_of(section, field.name);
        let (formula, place) = self.default_formula(path, field, text);
        let standing = Standing {
            section,
            itself: Some(id),
        };
        let value = self.evaluate_at(&formula, standing)?;
        self.coerce(id, field, value, place, place)
    }

    /// A cluster of which nobody said what it is made of: enough to check, too little to plan.
    pub(super) fn unnamed_machines(&mut self, root: NodeId, at: (Layer, Place)) -> NodeId {
        let node = self.section_node(Some(root), MACHINES, &CLUSTER, "", at);
        if let Some(body) = self.tree.body_mut(node) {
            (body.incomplete, body.torn) = (true, true);
        }
        self.tree.attach(root, node);
        node
    }

    /// A field of the cluster that nobody set: no mistake, but nothing can be planned.
    fn lacks(
        &mut self,
        node: NodeId,
        schema: &'static Section,
        field: &'static Field,
        known: bool,
    ) {
        if !known && !is_second(schema, field) {
            self.lacking.push(self.tree.path_of(node, field.name));
        }
        let place = self.tree.node(node).place;
        self.poison(node, field.name, (Layer::Default, place));
    }

    /// A field that must be set and is not; of two that compute each other the first is named.
    fn missing(
        &mut self,
        node: NodeId,
        schema: &'static Section,
        field: &'static Field,
        incomplete: bool,
    ) {
        let at = (Layer::Default, self.tree.node(node).place);
        if !incomplete && !is_second(schema, field) {
            let place = self.name_place(node);
            let unwritten = self.tree.node(node).layer == Layer::Default;
            let problem = missing_field(schema, field, place, unwritten);
            self.report(problem);
        }
        self.poison(node, field.name, at);
    }

    /// Where a section was opened: the first line of the entry that made it.
    pub fn name_place(&self, node: NodeId) -> Place {
        let place = self.tree.node(node).place;
        let end = self
            .sources
            .text(place)
            .find(['{', '\n'])
            .map_or(place.end, |end| place.start + end);
        let text = self.sources.text(Place { end, ..place });
        Place {
            end: place.start + text.trim_end().len().max(1),
            ..place
        }
    }
}

/// Whether a field is the later one of two that compute each other.
fn is_second(schema: &Section, field: &Field) -> bool {
    let position = |name: &str| schema.fields.iter().position(|known| known.name == name);
    matches!(field.need, Need::From(other, _) if position(other) < position(field.name))
}

/// The message and an example that fits the field, in its section where nobody has opened that.
fn missing_field(schema: &Section, field: &Field, place: Place, unwritten: bool) -> Problem {
    let name = field.name;
    let title = match field.need {
        Need::From(other, _) => format!("`{}` needs `{name}` or `{other}`", schema.name),
        _ => format!("`{}` needs `{name}`", schema.name),
    };
    let example = example(field);
    let entry = if unwritten {
        format!("{} {{ {name} = {example} }}", schema.name)
    } else {
        format!("{name} = {example}")
    };
    let help = match (field.need, field.holds) {
        (Need::From(other, _), _) => format!("add `{entry}`, or `{other}`; the other is computed"),
        (_, Type::Declared(Kind::Dataset, _)) => {
            "declare `dataset text { … }` and add `data = text`, or import `presets/pile.pleach` and add `data = the_pile`".to_string()
        }
        _ => format!("add `{entry}`: {}", lower_first(field.doc)),
    };
    Problem::error(
        "pleach::field::missing",
        title,
        place,
        format!("no `{name}` here"),
    )
    .help(help)
}

/// A sentence as the end of another.
fn lower_first(sentence: &str) -> String {
    let mut characters = sentence.trim_end_matches('.').chars();
    characters.next().map_or_else(String::new, |first| {
        format!("{}{}", first.to_lowercase(), characters.as_str())
    })
}

/// A value of a field's type.
pub fn example(field: &Field) -> String {
    use crate::quantity::Dimension;
    match field.holds {
        Type::Count(_) => match field.name {
            "hidden" => "768",
            "vocab" => "50_304",
            "nodes" => "1",
            "gpus_per_node" => "8",
            "tp" | "pp" | "dp" | "cp" | "ep" | "vpp" | "shards" => "2",
            "zero" => "1",
            _ => "12",
        },
        Type::Whole(Dimension::TOKENS) | Type::Number(Dimension::TOKENS) => "2048 tokens",
        Type::Whole(Dimension::STEPS) | Type::StepsRoundedUp => "1000 steps",
        Type::Whole(Dimension::BYTES) | Type::Number(Dimension::BYTES) => "40 GiB",
        Type::Batch => "1024 sequences",
        Type::Length => "10B tokens",
        Type::MicroBatch => "4 sequences",
        Type::Fraction => "25%",
        Type::Plain | Type::Number(Dimension::NONE) => match (field.name, field.need) {
            ("clip", _) => "1.0",
            (_, Need::Default(text)) if text.parse::<f64>().is_ok() => text,
            _ => "3e-4",
        },
        Type::Numbers => "[0.9, 0.95]",
        Type::Text if field.name == "tokenizer" => "\"bytes\"",
        Type::Text if field.name == "device" => "\"a100_40g\"",
        Type::Text if field.name == "source" => "\"cargo:dependencies\"",
        Type::Text => "\"…\"",
        Type::Texts => "[\"**/*.rs\"]",
        Type::StepList => "[0, 1, 2, 4]",
        Type::WordList(words) => return format!("[{}]", words[..2.min(words.len())].join(", ")),
        Type::Stages => "uneven",
        Type::Truth => "false",
        Type::Words(words) => words[0],
        Type::Variant(kinds)
            if kinds[0]
                .fields
                .iter()
                .any(|field| matches!(field.need, Need::Required)) =>
        {
            return format!("{} {{ peak = 3e-4 }}", kinds[0].name);
        }
        Type::Variant(kinds) => kinds[0].name,
        Type::Declared(Kind::Model, _) => "transformer { … }",
        Type::Declared(Kind::Cluster, _) => "a100_80g { nodes = 1, gpus_per_node = 8 }",
        Type::Declared(..) => "the_pile",
        Type::Number(dimension) if dimension == Dimension::FLOP.over(Dimension::SECONDS) => {
            "312 TFLOP/s"
        }
        Type::Number(dimension) if dimension == Dimension::USD.over(Dimension::SECONDS) => {
            "2 usd/hour"
        }
        Type::Number(_) | Type::Whole(_) => "300 GB/s",
        Type::Stack(_) => "24 * [layer(attention { heads = 16 }, gelu)]",
        Type::Section(_) | Type::Table(_) | Type::Rows(_) => "…",
    }
    .to_string()
}
