//! A value, its formula, and where each part of it came from.

use std::collections::BTreeMap;

use crate::evaluate::{Stop, Value};
use crate::origin::{Layer, Origin};
use crate::quantity::{show, whole};
use crate::resolve::{Content, NodeId, Resolver, Share};
use crate::schema::{PHASE, Type};
use crate::syntax::ExpressionKind;

/// One cell, ready to be shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The value: `3,145,728 tokens/step`, or what leaves it open.
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

/// All cells of an experiment by dotted path; the components of the mix by name.
pub fn cells(resolver: &mut Resolver, mix: &[Share]) -> BTreeMap<String, Cell> {
    let mut cells = BTreeMap::new();
    for id in resolver.tree.reachable() {
        if let Some(cell) = cell(resolver, id) {
            cells.insert(resolver.tree.node(id).path.clone(), cell);
        }
    }
    shares(resolver, "data.mix", mix, &mut cells);
    for row in resolver.phases().unwrap_or_default() {
        let path = format!("{}.data", resolver.tree.node(row).path);
        let mix = resolver.mix_of(&path).unwrap_or_default();
        shares(resolver, &format!("{path}.mix"), &mix, &mut cells);
    }
    kept_sections(resolver, &mut cells);
    cells
}

/// What a phase keeps where a dash stands for a section: the data and the learning rate of a phase above, or of the run.
fn kept_sections(resolver: &Resolver, cells: &mut BTreeMap<String, Cell>) {
    for name in ["data", "lr"] {
        let mut from = match name {
            "lr" => "train.lr".to_string(),
            _ => name.to_string(),
        };
        for row in resolver.phases().unwrap_or_default() {
            let node = resolver.tree.node(row);
            let path = format!("{}.{name}", node.path);
            if resolver.tree.child(row, name).is_some() {
                from = path;
                continue;
            }
            let Some(kind) = resolver.kind(&from) else {
                continue;
            };
            let field = PHASE.field(name);
            let cell = Cell {
                value: kind,
                formula: format!("- keeps `{from}`"),
                origin: resolver.origin(node.layer, node.place),
                before: Vec::new(),
                doc: field.map_or("", |field| field.doc).to_string(),
                mentions: cells
                    .contains_key(&from)
                    .then(|| from.clone())
                    .into_iter()
                    .collect(),
            };
            cells.insert(path, cell);
        }
    }
}

/// A section that was chosen among several kinds, by its kind, and a stack by its length; none for any other.
fn kind(resolver: &mut Resolver, id: NodeId) -> Option<Cell> {
    let layers = resolver.layers(id).map(|layers| layers.len());
    let node = resolver.tree.node(id);
    let kind = match layers {
        Some(1) => "1 layer".to_string(),
        Some(count) => format!("{count} layers"),
        None => resolver.tree.body(id)?.kind.clone(),
    };
    let field = resolver.tree.body(node.parent?)?.schema.field(&node.name)?;
    let chosen = matches!(
        field.holds,
        Type::Variant(_) | Type::Declared(..) | Type::Stack(_)
    );
    if !chosen || kind.is_empty() {
        return None;
    }
    let text = resolver.sources.line_text(node.place);
    let formula = text.split_once('=').map_or(text.as_str(), |(_, text)| text);
    let before = node.before.iter();
    Some(Cell {
        value: kind,
        formula: formula.trim().to_string(),
        origin: resolver.origin(node.layer, node.place),
        before: before
            .map(|(layer, place)| resolver.origin(*layer, *place))
            .collect(),
        doc: field.doc.to_string(),
        mentions: Vec::new(),
    })
}

/// The components of a mix by name.
fn shares(resolver: &Resolver, path: &str, mix: &[Share], cells: &mut BTreeMap<String, Cell>) {
    let Some(id) = resolver.tree.find(path) else {
        return;
    };
    let layer = resolver.tree.node(id).layer;
    cells.extend(mix.iter().map(|share| {
        let cell = component(resolver, share, layer);
        (format!("{path}.{}", share.name), cell)
    }));
}

/// One cell; of a section only its kind.
fn cell(resolver: &mut Resolver, id: NodeId) -> Option<Cell> {
    let node = resolver.tree.node(id);
    let Content::Cell {
        value: formula,
        field,
        domain,
    } = &node.content
    else {
        return kind(resolver, id);
    };
    let (formula, domain) = (formula.clone(), *domain);
    let doc = field.map_or("", |field| field.doc).to_string();
    let origin = resolver.origin(node.layer, formula.place);
    let before = node
        .before
        .iter()
        .map(|(layer, place)| resolver.origin(*layer, *place))
        .collect();
    let mentions = resolver.mentioned(id);
    let value = match resolver.value(id) {
        Ok(Value::List(items)) if domain => format!("one of {}", Value::List(items).show()),
        Ok(value) => value.show(),
        Err(Stop::Open(_)) => "left to the planner".to_string(),
        Err(Stop::Poisoned) => structure(&formula.kind),
    };
    Some(Cell {
        value,
        formula: resolver.sources.line_text(formula.place),
        origin,
        before,
        doc,
        mentions,
    })
}

/// What stands for a cell without a value of its own.
fn structure(formula: &ExpressionKind) -> String {
    match formula {
        ExpressionKind::Table(table) => format!("a table of {} rows", table.rows.len()),
        ExpressionKind::Amend(path, _) => format!("`{}` with changes", path.text),
        _ => "not known".to_string(),
    }
}

/// One component of the mix.
fn component(resolver: &Resolver, share: &Share, layer: Layer) -> Cell {
    let origin = resolver.origin(layer, share.place);
    Cell {
        value: format!("{}%", show(&(&share.weight * whole(100)))),
        formula: origin.text.clone(),
        origin,
        before: Vec::new(),
        doc: "Share of the mix.".to_string(),
        mentions: Vec::new(),
    }
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
