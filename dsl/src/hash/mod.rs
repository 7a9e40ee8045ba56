//! The experiment's identity: what it means, without how it was written, where it runs and how it is placed.
//!
//! Model, data, training, seed and precision go in, in base units, as exact rationals, with sorted keys, as canonical JSON, through BLAKE3.
//! The model goes in as its parts, so that two spellings of the same layers are the same experiment. Names, comments, `about`, order, unit spelling, cluster, placement and checkpoints do not. Equal hashes promise the same experiment, not the
//! same bits: the order of sums differs between placements.

mod placement;

pub use placement::placement_hash;

use num_rational::BigRational;
use serde_json::{Map, Value as Json, json};

use crate::evaluate::Value;
use crate::origin::Layer;
use crate::resolve::{Content, NodeId, Resolver, Share};
use crate::schema::Need;
use crate::typed;

/// Fields that say nothing about what is trained, or are said by others: tokens by steps and batch, the mix by its shares, phases in order.
/// A run that was halted may go on with another answer to steps that are not finite.
const SILENT: [&str; 6] = ["about", "tokens", "mix", "phases", "repeat", "not_finite"];

/// The number format, which is a word as long as nothing else is said about it.
const FORMAT: &str = "train.precision";

/// The hash, in hexadecimal.
pub fn experiment_hash(resolver: &mut Resolver, mix: &[Share]) -> String {
    let json = canonical(resolver, mix);
    blake3::hash(json.to_string().as_bytes())
        .to_hex()
        .to_string()
}

/// The canonical form that is hashed.
fn canonical(resolver: &mut Resolver, mix: &[Share]) -> Json {
    let mut object = Map::new();
    let mut train = section(resolver, "train");
    let data = dataset(resolver, "data", mix);
    match phases(resolver) {
        Some(phases) => {
            leave_out(resolver, &mut train);
            object.insert("phases".to_string(), phases);
        }
        None => {
            object.insert("data".to_string(), data);
        }
    }
    let model = typed::model(resolver).and_then(|model| serde_json::to_value(model).ok());
    object.insert("model".to_string(), model.unwrap_or(Json::Null));
    object.insert("seed".to_string(), section(resolver, "seed"));
    object.insert("train".to_string(), train);
    Json::Object(object)
}

/// A dataset: its fields and its shares.
fn dataset(resolver: &mut Resolver, path: &str, mix: &[Share]) -> Json {
    json!({ "mix": mix_of(mix), "of": section(resolver, path) })
}

/// What phases say for themselves is not said by the whole run: its batch, and its rate where the first of them has its own.
fn leave_out(resolver: &Resolver, train: &mut Json) {
    let first = resolver.phases().and_then(|rows| rows.first().copied());
    let own = first.is_some_and(|row| resolver.tree.child(row, "lr").is_some());
    if let Json::Object(fields) = train {
        fields.remove(".global_batch");
        if own {
            fields.remove(".lr");
        }
    }
}

/// Phases in their order, without their names: what each trains on and how; a rate that goes on is null.
fn phases(resolver: &mut Resolver) -> Option<Json> {
    let rows = resolver.phases()?;
    let mut phases = Vec::new();
    let mut data = "data".to_string();
    for row in rows {
        let path = resolver.tree.node(row).path.clone();
        let own = format!("{path}.data");
        if resolver.tree.find(&own).is_some() {
            data = own;
        }
        let mix = resolver.mix_of(&data).unwrap_or_default();
        let rate = resolver.tree.child(row, "lr");
        phases.push(json!({
            "batch": section(resolver, &format!("{path}.global_batch")),
            "context": section(resolver, &format!("{path}.context")),
            "data": dataset(resolver, &data, &mix),
            "rate": rate.map_or(Json::Null, |rate| node(resolver, rate, true)),
            "steps": section(resolver, &format!("{path}.steps")),
        }));
    }
    Some(Json::Array(phases))
}

/// A section or cell by path.
fn section(resolver: &mut Resolver, path: &str) -> Json {
    resolver
        .tree
        .find(path)
        .map_or(Json::Null, |id| node(resolver, id, false))
}

/// A node: sections by their sorted fields, with the kind where it was chosen among several; constants are only names.
fn node(resolver: &mut Resolver, id: NodeId, with_kind: bool) -> Json {
    let Some(body) = resolver.tree.body(id) else {
        return resolver
            .value(id)
            .map_or(Json::Null, |value| value_of(&value));
    };
    let children: Vec<(String, NodeId)> = body
        .children
        .iter()
        .map(|(name, child)| (name.clone(), *child))
        .collect();
    let mut object = Map::new();
    let kind = body.kind.clone();
    if with_kind {
        object.insert("kind".to_string(), Json::String(kind.clone()));
    }
    for (name, child) in children {
        if resolver.is_quiet(child) {
            continue;
        }
        let constant = matches!(
            resolver.tree.node(child).content,
            Content::Cell { field: None, .. }
        );
        if !constant && !SILENT.contains(&name.as_str()) {
            object.insert(format!(".{name}"), node(resolver, child, true));
        }
    }
    if object.len() == 1 && resolver.tree.node(id).path == FORMAT {
        return json!({ "text": kind });
    }
    Json::Object(object)
}

impl Resolver<'_> {
    /// Whether a node belongs to a field that is left out while it has its default, and has it.
    fn is_quiet(&mut self, id: NodeId) -> bool {
        let node = self.tree.node(id);
        let (layer, parent) = (node.layer, node.parent.unwrap_or(0));
        let schema = self.tree.body(parent).map(|body| body.schema);
        let Some(field) = schema.and_then(|schema| schema.field(&self.tree.node(id).name)) else {
            return false;
        };
        let Need::Default(text) = field.need else {
            return false;
        };
        if !field.quiet {
            return false;
        }
        match self.tree.body(id) {
            Some(body) => {
                let children: Vec<NodeId> = body.children.values().copied().collect();
                body.kind == text && children.into_iter().all(|child| self.is_quiet(child))
            }
            None => {
                layer == Layer::Default || self.value(id) == self.default_value(id, field, text)
            }
        }
    }
}

/// The mix by its rows' names, whatever their order.
fn mix_of(mix: &[Share]) -> Json {
    let mut rows: Vec<&Share> = mix.iter().collect();
    rows.sort_by(|left, right| left.name.cmp(&right.name));
    let whole = rows.len() == 1;
    let row = |share: &&Share| {
        let name = if whole { "" } else { &share.name };
        match &share.source {
            Some(source) => json!([name, rational(&share.weight), share.files, source]),
            None => json!([name, rational(&share.weight), share.files]),
        }
    };
    Json::Array(rows.iter().map(row).collect())
}

/// A value in base units.
fn value_of(value: &Value) -> Json {
    match value {
        Value::Number(quantity) => Json::String(format!(
            "{} {}",
            rational(&quantity.value),
            quantity.dimension.symbol()
        )),
        Value::Truth(truth) => Json::Bool(*truth),
        Value::Word(text) | Value::Text(text) => json!({ "text": text }),
        Value::List(items) => Json::Array(items.iter().map(value_of).collect()),
        Value::Auto => Json::String("auto".to_string()),
    }
}

/// A rational in lowest terms.
fn rational(value: &BigRational) -> String {
    format!("{}/{}", value.numer(), value.denom())
}
