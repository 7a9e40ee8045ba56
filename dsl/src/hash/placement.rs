//! The identity of what a spec says of machines and placement: cluster, plan, laws and wishes, by what they mean.
//!
//! A formula over the placement goes in as its structure, with everything in it that the language can compute computed: names of cells, `let`s, units and
//! the order of laws and choices leave no trace.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::{node, value_of};
use crate::evaluate::Value;
use crate::resolve::{Content, NodeId, Resolver};
use crate::schema::Field;
use crate::syntax::{Expression, ExpressionKind};
use crate::wish::{Binding, Direction, Figure, Formula};

/// Fields that say where a figure is from, and change nothing.
const SOURCES: [&str; 3] = ["about", "price_source", "price_date"];

/// The hash, in hexadecimal.
pub fn placement_hash(resolver: &mut Resolver) -> String {
    let laws = resolver.requirements();
    let mut laws: Vec<String> = laws
        .iter()
        .map(|law| formula(&law.condition).to_string())
        .collect();
    laws.sort();
    laws.dedup();
    let goals: Vec<Json> = resolver
        .objectives()
        .iter()
        .map(|goal| {
            let large = goal.direction == Direction::Maximize;
            json!([large, formula(&goal.formula), goal.within])
        })
        .collect();
    let mut object = json!({ "goals": goals, "laws": laws });
    for name in ["cluster", "plan"] {
        object[name] = section(resolver, name);
    }
    let text = object.to_string();
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

/// A section of the placement: fields by name, choices in the order of their values.
fn section(resolver: &mut Resolver, name: &str) -> Json {
    let Some(body) = resolver
        .tree
        .find(name)
        .and_then(|id| resolver.tree.body(id))
    else {
        return Json::Null;
    };
    let schema = body.schema;
    let fields: Vec<(&'static Field, NodeId)> = schema
        .fields
        .iter()
        .filter(|field| !SOURCES.contains(&field.name))
        .filter_map(|field| Some((field, *body.children.get(field.name)?)))
        .collect();
    let mut object = json!({});
    for (field, id) in fields {
        object[field.name] = cell(resolver, id);
    }
    object
}

fn cell(resolver: &mut Resolver, id: NodeId) -> Json {
    let tree_node = resolver.tree.node(id);
    let Content::Cell { value, domain, .. } = &tree_node.content else {
        return node(resolver, id, true);
    };
    let (value, domain) = (value.clone(), *domain);
    match resolver.value(id) {
        Ok(Value::List(items)) if domain => {
            let mut choices: Vec<String> = items
                .iter()
                .map(|item| value_of(item).to_string())
                .collect();
            choices.sort();
            choices.dedup();
            json!({ "in": choices })
        }
        Ok(known) => value_of(&known),
        Err(_) => match resolver.formula(id, &Arc::clone(&value)) {
            Some(open) => formula(&open),
            None => Json::Null,
        },
    }
}

/// A formula by its meaning.
fn formula(formula: &Formula) -> Json {
    part(formula, &formula.expression)
}

fn part(of: &Formula, expression: &Expression) -> Json {
    let alone = Formula {
        expression: expression.clone(),
        ..of.clone()
    };
    if let Ok(known) = alone.run(&|_: &str| None::<Figure>, &mut Vec::new()) {
        return value_of(&known);
    }
    let each = |parts: &[&Expression]| -> Vec<Json> {
        parts.iter().map(|inner| part(of, inner)).collect()
    };
    match &expression.kind {
        ExpressionKind::Path(path) => match of.bindings.get(&path.text) {
            Some(Binding::Figure(name)) => json!({ "figure": name }),
            Some(Binding::Formula(inner)) => formula(inner),
            Some(Binding::Known(value)) => value_of(value),
            None => json!({ "name": path.text }),
        },
        ExpressionKind::Call(name, arguments) => {
            let arguments: Vec<&Expression> = arguments.iter().collect();
            json!([name.text, each(&arguments)])
        }
        ExpressionKind::List(items) => {
            let items: Vec<&Expression> = items.iter().collect();
            json!(["list", each(&items)])
        }
        ExpressionKind::Choose(condition, then, other) => {
            json!(["if", each(&[condition, then, other])])
        }
        ExpressionKind::Negate(inner) => json!(["-", each(&[inner])]),
        ExpressionKind::Not(inner) => json!(["not", each(&[inner])]),
        ExpressionKind::Binary(operator, _, left, right) => {
            json!([operator.text(), each(&[left, right])])
        }
        ExpressionKind::Auto => json!("auto"),
        _ => Json::Null,
    }
}
