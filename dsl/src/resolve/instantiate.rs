//! Sections and cells as nodes of the tree: a field's value becomes a cell, or the section that its word or declaration stands for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::declarations::Found;
use super::elaborate::{LONGEST_CHAIN, MACHINES};
use super::{Body, Content, Node, NodeId, Resolver, meant_by_neighbour, not_yet};
use crate::names::nearest;
use crate::origin::Layer;
use crate::problem::Problem;
use crate::schema::{Field, Need, RIVALS, Section, Type};
use crate::syntax::{Block, Entry, Expression, ExpressionKind, Kind, Path, Place};

impl Resolver<'_> {
    /// Sets a field, whatever it holds.
    pub(super) fn set_field(
        &mut self,
        node: NodeId,
        field: &'static Field,
        value: &Arc<Expression>,
        at: (Layer, Place),
        domain: bool,
    ) {
        match field.holds {
            Type::Section(_) => {
                let title = format!("`{}` is a section that is edited, not a value", field.name);
                let problem =
                    Problem::error("pleach::section::edited", title, value.place, "a value");
                self.report(problem.help(format!("write `{} {{ … }}`", field.name)));
            }
            Type::Rows(columns) => self.set_rows(node, field, columns, value, at),
            Type::Variant(_) | Type::Declared(..) => {
                let value = match at.0 {
                    Layer::Default => value.clone(),
                    _ => self.follow_constants(node, value),
                };
                self.instantiate(node, field, &value, at);
            }
            _ => {
                self.add_cell(node, field.name, Some(field), value.clone(), at, domain);
            }
        }
    }

    /// Replaces the name of a `let` by its formula, where a section is wanted.
    pub(super) fn follow_constants(
        &self,
        node: NodeId,
        value: &Arc<Expression>,
    ) -> Arc<Expression> {
        let behind = self.behind_constants(node, value);
        behind.unwrap_or_else(|| value.clone())
    }

    /// The formula of the `let` that a value names.
    pub(super) fn behind_constants(
        &self,
        node: NodeId,
        value: &Expression,
    ) -> Option<Arc<Expression>> {
        let mut found: Option<Arc<Expression>> = None;
        for _ in 0..LONGEST_CHAIN {
            let value = found.as_deref().unwrap_or(value);
            let ExpressionKind::Path(path) = &value.kind else {
                break;
            };
            let mut section = Some(node);
            let mut constant = None;
            while let (Some(at), None) = (section, constant) {
                let child = self.tree.child(at, &path.text);
                constant = child.filter(|child| self.is_constant(*child));
                section = self.tree.node(at).parent;
            }
            match constant.map(|child| &self.tree.node(child).content) {
                Some(Content::Cell { value: inner, .. }) => found = Some(inner.clone()),
                _ => break,
            }
        }
        found
    }

    /// Whether a node is a `let`.
    pub(super) fn is_constant(&self, id: NodeId) -> bool {
        matches!(
            self.tree.node(id).content,
            Content::Cell { field: None, .. }
        ) && !self.tree.is_broken(id)
    }

    /// Makes a section from a kind, a declaration, or an amended one.
    fn instantiate(
        &mut self,
        parent: NodeId,
        field: &'static Field,
        value: &Expression,
        at: (Layer, Place),
    ) {
        let (path, block) = match &value.kind {
            ExpressionKind::Path(path) => (path, None),
            ExpressionKind::Amend(path, block) => (path, Some(block)),
            ExpressionKind::Broken => return self.poison(parent, field.name, at),
            _ => {
                self.report_not_a_section(field, value);
                return self.poison(parent, field.name, at);
            }
        };
        let schema = match field.holds {
            Type::Variant(kinds) => match kinds.iter().find(|kind| kind.name == path.text) {
                Some(kind) => kind,
                None if self.is_section_constant(parent, path) => {
                    let inner = self.follow_constants(parent, &named(path));
                    self.instantiate(parent, field, &inner, at);
                    return self.amend(parent, field, block, at.0);
                }
                None if self.instantiate_schedule(parent, (field, kinds), path, block, at) => {
                    return;
                }
                None if self.is_lost_further_out(parent, &path.text) => {
                    return self.poison(parent, field.name, at);
                }
                None => {
                    let outer = self.section_further_out(parent, &path.text, kinds);
                    if let (Some(outer), None) = (outer, block) {
                        return self.tree.attach_as(parent, field.name, outer);
                    }
                    let owner = self
                        .tree
                        .body(parent)
                        .expect("fields stand in sections")
                        .schema;
                    self.report(unknown_kind(owner, field, kinds, path));
                    return self.poison(parent, field.name, at);
                }
            },
            Type::Declared(Kind::Model, _) => self.family(path.place.file, path),
            Type::Declared(_, schema) => schema,
            _ => return,
        };
        let kind = path.parts().last().unwrap_or_default();
        let child = self.section_node(Some(parent), field.name, schema, kind, at);
        let said = self.said_of_unnamed(parent, field.name);
        self.tree.attach(parent, child);
        if let Type::Declared(kind, _) = field.holds {
            match self.declaration(path.place.file, path, kind) {
                Found::Declared(declaration) => {
                    self.apply_declaration(child, declaration, Layer::Base)
                }
                Found::Family => {}
                Found::Nothing => self.mark_incomplete(child),
            }
        }
        self.keep(child, &said);
        if let Some(block) = block {
            self.apply_block(child, block, at.0);
            self.settle_pairs(child, &said, block);
        }
    }

    /// What was said of machines that nobody had named yet: `cluster.gpus = 32` of a sweep's case. Naming the machines later does not
    /// take that back, or no cluster could be given to a finished sweep.
    fn said_of_unnamed(&self, parent: NodeId, name: &str) -> Vec<NodeId> {
        let unnamed = self
            .tree
            .child(parent, name)
            .and_then(|old| self.tree.body(old))
            .filter(|body| name == MACHINES && body.kind.is_empty());
        unnamed.map_or_else(Vec::new, |body| body.children.values().copied().collect())
    }

    /// Moves cells into another section.
    fn keep(&mut self, section: NodeId, cells: &[NodeId]) {
        for cell in cells {
            self.tree.adopt(section, *cell);
        }
    }

    /// Of two fields that compute each other, the one that was kept gives way to the one that a block sets.
    fn settle_pairs(&mut self, section: NodeId, kept: &[NodeId], block: &Block) {
        let Some(body) = self.tree.body(section) else {
            return;
        };
        let sets = |name: &str| {
            block.entries.iter().any(|entry| match entry {
                Entry::Binding { path, .. } | Entry::Domain { path, .. } => path.text == name,
                _ => false,
            })
        };
        let pair = |name: &&String| match body.schema.field(name).map(|field| field.need) {
            Some(Need::From(other, _)) => sets(other) && !sets(name),
            _ => false,
        };
        let kept = kept.iter().map(|cell| &self.tree.node(*cell).name);
        let gone: Vec<String> = kept.filter(pair).cloned().collect();
        if let Some(body) = self.tree.body_mut(section) {
            body.children.retain(|name, _| !gone.contains(name));
        }
    }

    fn report_not_a_section(&mut self, field: &Field, value: &Expression) {
        let written = self.sources.text(value.place);
        let problem = not_a_section(field, value, written);
        self.report(problem);
    }

    /// Whether the section that a name means was reported where it is set.
    fn is_lost_further_out(&self, from: NodeId, name: &str) -> bool {
        let mut section = self.tree.node(from).parent;
        while let Some(at) = section {
            if let Some(child) = self.tree.child(at, name) {
                return self.tree.is_broken(child);
            }
            section = self.tree.node(at).parent;
        }
        false
    }

    /// Whether a name is that of a `let` that holds a section.
    fn is_section_constant(&self, node: NodeId, path: &Path) -> bool {
        let inner = self.follow_constants(node, &named(path));
        !matches!(&inner.kind, ExpressionKind::Path(same) if same.text == path.text)
    }

    /// Lays a block over a section that was just made.
    fn amend(&mut self, parent: NodeId, field: &Field, block: Option<&Block>, layer: Layer) {
        let child = self.tree.child(parent, field.name);
        if let (Some(child), Some(block)) = (child, block)
            && self.tree.body(child).is_some()
        {
            self.apply_block(child, block, layer);
        }
    }

    /// Takes away what says the same in another way and was said further off: `tokens` over a base's `steps`.
    fn displace(&mut self, section: NodeId, name: &str, layer: Layer) {
        let path = self.tree.path_of(section, name);
        let rival = RIVALS.iter().find_map(|&[one, other]| match path.as_str() {
            own if own == one => Some(other),
            own if own == other => Some(one),
            _ => None,
        });
        let Some(found) = rival.and_then(|rival| self.tree.find(rival)) else {
            return;
        };
        let node = self.tree.node(found);
        if node.layer < layer {
            let rival = node.name.clone();
            self.tree.detach(section, &rival);
        }
    }

    /// A new cell.
    pub(super) fn add_cell(
        &mut self,
        section: NodeId,
        name: &str,
        field: Option<&'static Field>,
        value: Arc<Expression>,
        (layer, place): (Layer, Place),
        domain: bool,
    ) {
        let layer = if self.sources.get(place.file).shipped {
            Layer::Preset
        } else {
            layer
        };
        self.displace(section, name, layer);
        let node = Node {
            name: name.to_string(),
            path: self.tree.path_of(section, name),
            parent: Some(section),
            place,
            layer,
            before: Vec::new(),
            content: Content::Cell {
                value,
                field,
                domain,
            },
        };
        let id = self.tree.add(node);
        self.tree.attach(section, id);
    }

    /// A cell that silences what depends on it.
    pub(super) fn poison(&mut self, section: NodeId, name: &str, at: (Layer, Place)) {
        let broken = Expression {
            kind: ExpressionKind::Broken,
            place: at.1,
        };
        self.add_cell(section, name, None, Arc::new(broken), at, false);
    }

    /// A new section whose only fields are the sections it always has.
    pub(super) fn section_node(
        &mut self,
        parent: Option<NodeId>,
        name: &str,
        schema: &'static Section,
        kind: &str,
        (layer, place): (Layer, Place),
    ) -> NodeId {
        let path = parent.map_or_else(String::new, |parent| self.tree.path_of(parent, name));
        let body = Body {
            schema,
            kind: kind.to_string(),
            children: BTreeMap::new(),
            incomplete: false,
            torn: false,
            unread: BTreeSet::new(),
            meant: Vec::new(),
            pattern: None,
            rows: None,
        };
        let node = Node {
            name: name.to_string(),
            path,
            parent,
            place,
            layer,
            before: Vec::new(),
            content: Content::Section(body),
        };
        let id = self.tree.add(node);
        for field in schema.fields {
            if let Type::Section(inner) = field.holds {
                let at = (Layer::Default, place);
                let child = self.section_node(Some(id), field.name, inner, field.name, at);
                self.tree.attach(id, child);
            }
        }
        id
    }
}

/// A name as a formula.
fn named(path: &Path) -> Arc<Expression> {
    Arc::new(Expression {
        kind: ExpressionKind::Path(path.clone()),
        place: path.place,
    })
}

/// A kind of section to show in a help.
pub(super) fn example_kind(field: &Field) -> &'static str {
    match field.holds {
        Type::Variant([first, ..]) => first.name,
        Type::Declared(Kind::Model, _) => "transformer",
        _ => "name",
    }
}

/// A value where a section is wanted.
fn not_a_section(field: &Field, value: &Expression, written: &str) -> Problem {
    let name = field.name;
    let title = format!("`{name}` is a section, and this is not one");
    let problem = Problem::error(
        "pleach::section::wanted",
        title,
        value.place,
        "not a section",
    );
    let quoted = match (&value.kind, field.holds) {
        (ExpressionKind::Text(text), Type::Variant(kinds)) => {
            nearest(text, kinds.iter().map(|kind| kind.name))
        }
        (ExpressionKind::Text(text), Type::Declared(..)) if is_name(text) => Some(text.as_str()),
        _ => None,
    };
    let number = !matches!(value.kind, ExpressionKind::Text(_));
    problem.help(match (quoted, constant_rate(field)) {
        (Some(meant), _) => format!("write `{name} = {meant}`, without quotes"),
        (None, Some(rate)) if number => {
            format!("write `{name} = {} {{ {} = {written} }}`", rate.0, rate.1)
        }
        (None, _) => format!("write `{name} = {} {{ … }}`", example_kind(field)),
    })
}

/// The kind that only holds a number, and the field that it holds it in: `lr = 3e-4` means `lr = constant { peak = 3e-4 }`.
pub(super) fn constant_rate(field: &Field) -> Option<(&'static str, &'static str)> {
    let Type::Variant(kinds) = field.holds else {
        return None;
    };
    let kind = kinds.iter().find(|kind| kind.name == "constant")?;
    let required = |field: &&Field| matches!(field.need, Need::Required);
    Some((kind.name, kind.fields.iter().find(required)?.name))
}

/// Whether a text could be the name of a declaration, with or without an alias.
fn is_name(text: &str) -> bool {
    let inside = |character: char| character.is_ascii_alphanumeric() || "_.".contains(character);
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.chars().all(inside)
}

/// A kind nobody knows.
fn unknown_kind(
    owner: &'static Section,
    field: &Field,
    kinds: &[&Section],
    path: &Path,
) -> Problem {
    let word = &path.text;
    let names: Vec<&str> = kinds.iter().map(|kind| kind.name).collect();
    let listed = alternatives(&names);
    if owner.later.contains(&word.as_str()) {
        return not_yet(&format!("`{word}`"), path.place)
            .help(format!("`{}` is {listed}", field.name));
    }
    let title = format!("there is no `{}` called `{word}`", field.name);
    let problem = Problem::error("pleach::kind::unknown", title, path.place, "no such kind");
    if let Some(help) = meant_by_neighbour(word, &names) {
        return problem.help(help);
    }
    match nearest(word, names.into_iter()) {
        Some(found) => problem.help(format!("did you mean `{found}`?")),
        None => problem.help(format!("`{}` is {listed}", field.name)),
    }
}

/// Names for a sentence: `` `a`, `b` or `c` ``.
fn alternatives(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}
