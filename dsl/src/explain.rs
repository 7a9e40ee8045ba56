//! A value, its formula, and where each part of it came from.

use std::collections::BTreeMap;

use crate::evaluate::{Stop, Value};
use crate::origin::{Layer, Origin};
use crate::resolve::{Content, Resolver};

/// One cell, ready to be shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The value: `3,145,728 tokens/steps`, or what leaves it open.
    pub value: String,
    /// The formula as written: `1536 sequences`.
    pub formula: String,
    /// Where it came from.
    pub origin: Origin,
    /// What it replaced, the newest first.
    pub before: Vec<Origin>,
    /// What the field means.
    pub doc: String,
    /// Dotted paths of the cells it mentions.
    pub mentions: Vec<String>,
}

/// All cells of an experiment by dotted path.
pub fn cells(resolver: &mut Resolver) -> BTreeMap<String, Cell> {
    let mut cells = BTreeMap::new();
    for id in resolver.tree.reachable() {
        let node = resolver.tree.node(id);
        let Content::Cell {
            value: formula,
            field,
            domain,
        } = &node.content
        else {
            continue;
        };
        let (formula, doc, domain) = (
            formula.clone(),
            field.map_or("", |field| field.doc),
            *domain,
        );
        let (path, layer) = (node.path.clone(), node.layer);
        let before: Vec<(Layer, _)> = node.before.clone();
        let mentions = resolver.mentioned(id);
        let value = match resolver.value(id) {
            Ok(Value::List(items)) if domain => format!("one of {}", Value::List(items).show()),
            Ok(value) => value.show(),
            Err(Stop::Open(_)) => "left to the planner".to_string(),
            Err(Stop::Poisoned) => "not known".to_string(),
        };
        let origin = resolver.origin(layer, formula.place);
        let before = before
            .into_iter()
            .map(|(layer, place)| resolver.origin(layer, place))
            .collect();
        cells.insert(
            path,
            Cell {
                value,
                formula: origin.text.clone(),
                origin,
                before,
                doc: doc.to_string(),
                mentions,
            },
        );
    }
    cells
}

/// A cell and what it rests on, as lines: the value, the formula, the origin, then the parts, indented.
pub fn explain(cells: &BTreeMap<String, Cell>, path: &str) -> Option<String> {
    let mut lines = Vec::new();
    describe(cells, path, 0, &mut lines)?;
    Some(lines.join("\n"))
}

/// How deep the parts of parts are followed.
const DEPTH: usize = 4;

fn describe(
    cells: &BTreeMap<String, Cell>,
    path: &str,
    depth: usize,
    lines: &mut Vec<String>,
) -> Option<()> {
    let cell = cells.get(path)?;
    let indent = "  ".repeat(depth);
    let formula = if cell.formula == cell.value {
        String::new()
    } else {
        format!("   {}", cell.formula)
    };
    lines.push(format!(
        "{indent}{path} = {}{formula}   ({})",
        cell.value, cell.origin
    ));
    if depth == 0 {
        lines.extend(
            cell.before
                .iter()
                .map(|replaced| format!("  replaces {} ({replaced})", replaced.text)),
        );
        if !cell.doc.is_empty() {
            lines.push(format!("  {}", cell.doc));
        }
    }
    if depth < DEPTH {
        for part in &cell.mentions {
            let described = describe(cells, part, depth + 1, lines);
            debug_assert!(described.is_some(), "{part} is a cell");
        }
    }
    Some(())
}
