//! Entries to cells: the one composition rule. What is extended or amended is laid down first, the entries at hand over it; the nearest word
//! wins, and setting a name twice in one block is an error, so no other order matters.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::declarations::Found;
use super::instantiate::example_kind;
use super::unknown::unknown_and_meant;
use super::{Law, NodeId, Resolver};
use crate::origin::Layer;
use crate::problem::Problem;
use crate::schema::{EXPERIMENT, Field, Need, SIZES, Type};
use crate::syntax::{
    Block, Declaration, Entry, Expression, ExpressionKind, Goal, Kind, Name, Path, Place,
};

/// The section that planning needs and checking does not.
pub(super) const MACHINES: &str = "cluster";

/// How many declarations may extend one another.
pub(super) const LONGEST_CHAIN: usize = 32;

impl<'files> Resolver<'files> {
    /// Builds the tree of an experiment.
    pub fn elaborate(&mut self, experiment: &'files Declaration) {
        let root = self.experiment_root(&experiment.name.text, experiment.name.place);
        self.apply_declaration(root, experiment, Layer::Override);
    }

    /// An experiment with its sections, still empty.
    pub(super) fn experiment_root(&mut self, name: &str, place: Place) -> NodeId {
        self.section_node(None, "", &EXPERIMENT, name, (Layer::Override, place))
    }

    /// Builds only what one declaration says, to find names in it that nobody knows, whether it is used or not.
    pub fn elaborate_alone(&mut self, declaration: &'files Declaration) {
        let holds = |field: &&Field| matches!(field.holds, Type::Declared(kind, _) if kind == declaration.kind);
        let (name, schema) = match EXPERIMENT
            .fields
            .iter()
            .find(holds)
            .map(|field| (field.name, field.holds))
        {
            Some((name, Type::Declared(_, schema))) => (name, schema),
            _ if declaration.kind == Kind::Experiment => return self.elaborate(declaration),
            _ if declaration.kind == Kind::Schedule => return self.schedule_alone(declaration),
            _ => return,
        };
        let schema = match (declaration.kind, &declaration.base) {
            (Kind::Model, Some(base)) => self.family(declaration.place.file, base),
            _ => schema,
        };
        let at = (Layer::Override, declaration.name.place);
        let root = self.section_node(None, "", &EXPERIMENT, "", at);
        let section = self.section_node(Some(root), name, schema, &declaration.name.text, at);
        self.tree.attach(root, section);
        self.apply_declaration(section, declaration, Layer::Override);
        self.build_stack(section);
    }

    /// Lays a declaration over a section: first what it extends, then its own entries.
    pub(super) fn apply_declaration(
        &mut self,
        node: NodeId,
        declaration: &'files Declaration,
        layer: Layer,
    ) {
        let name = &declaration.name;
        let first = self.chain.iter().position(|open| open.place == name.place);
        if first.is_some() || self.chain.len() > LONGEST_CHAIN {
            let problem = extends_circle(&self.chain[first.unwrap_or(0)..], first.is_some());
            self.report(problem);
            self.mark_incomplete(node);
            return;
        }
        self.chain.push(name.clone());
        self.apply_base(node, declaration);
        self.apply_block(node, &declaration.block, layer);
        self.chain.pop();
    }

    pub(super) fn apply_base(&mut self, node: NodeId, declaration: &'files Declaration) {
        let kind = match declaration.kind {
            Kind::Sweep => Kind::Experiment,
            kind => kind,
        };
        match &declaration.base {
            Some(base) => match self.declaration(declaration.place.file, base, kind) {
                Found::Declared(base) => {
                    self.lineage.insert(0, base.place.file);
                    self.apply_declaration(node, base, Layer::Base);
                }
                Found::Family => {}
                Found::Nothing => self.mark_incomplete(node),
            },
            None if declaration.kind == Kind::Model => {
                let name = &declaration.name;
                let title = format!("the model `{}` belongs to no family", name.text);
                let problem = Problem::error(
                    "pleach::model::family",
                    title,
                    name.place,
                    "it extends nothing",
                );
                self.report(problem.help(format!(
                    "write `model {} extends transformer {{ … }}`",
                    name.text
                )));
            }
            None if declaration.kind == Kind::Schedule => {
                let name = &declaration.name;
                let title = format!("the schedule `{}` is of no kind", name.text);
                let label = "it extends nothing";
                let problem = Problem::error("pleach::schedule::kind", title, name.place, label);
                self.report(problem.help(format!(
                    "write `schedule {} extends cosine {{ … }}`",
                    name.text
                )));
            }
            None => {}
        }
    }

    /// A section, and all below it, whose missing fields should not be reported, since something that might set them is lost.
    pub(super) fn mark_incomplete(&mut self, node: NodeId) {
        let Some(body) = self.tree.body_mut(node) else {
            return;
        };
        (body.incomplete, body.torn) = (true, true);
        let children: Vec<NodeId> = body.children.values().copied().collect();
        for child in children {
            self.mark_incomplete(child);
        }
    }

    /// Lays the entries of a block over a section.
    pub(super) fn apply_block(&mut self, node: NodeId, block: &Block, layer: Layer) {
        self.check_across(block);
        let mut seen: Seen = BTreeMap::new();
        let mut wish: Option<Place> = None;
        for entry in &block.entries {
            if let Entry::Objective { place, .. } = entry {
                if let Some(first) = wish {
                    self.report(wished_twice(*place, first));
                    continue;
                }
                wish = Some(*place);
            }
            if let Some((name, binds)) = target(entry) {
                if let Some(first) = clashing(&seen, name, binds) {
                    self.forget_unset(first);
                    self.report(set_twice(name, entry.place(), first));
                    continue;
                }
                seen.insert(name, (entry.place(), binds));
            }
            self.apply_entry(node, entry, layer);
        }
    }

    /// Reports what a dotted name and a section of one block both set: `plan.tp = 2` beside `plan { tp = 4 }`.
    fn check_across(&mut self, block: &Block) {
        let mut inside = Vec::new();
        for entry in &block.entries {
            if let Entry::Section { name, block } = entry {
                leaves(block, &name.text, &mut inside);
            }
        }
        if inside.is_empty() {
            return;
        }
        for entry in &block.entries {
            let Some((name, binds)) = target(entry).filter(|(name, _)| name.contains('.')) else {
                continue;
            };
            let other = inside
                .iter()
                .find(|(path, _)| clash((name, binds), (path, true)));
            if let Some((path, place)) = other {
                let [first, again] = match entry.place().start < place.start {
                    true => [entry.place(), *place],
                    false => [*place, entry.place()],
                };
                let longer = if path.len() > name.len() { path } else { name };
                self.report(set_twice(longer, again, first));
            }
        }
    }

    /// An entry that clashes with another is wrong for that alone, and not because it came before there was something to edit.
    fn forget_unset(&mut self, entry: Place) {
        let within =
            |at: Place| at.file == entry.file && entry.start <= at.start && at.end <= entry.end;
        let unset = "pleach::section::unset";
        self.problems
            .retain(|problem| problem.code != unset || !within(problem.at.place));
    }

    fn apply_entry(&mut self, node: NodeId, entry: &Entry, layer: Layer) {
        match entry {
            Entry::Section { name, block } => {
                if let Some(child) = self.open_section(node, name) {
                    self.tree.written_at(child, layer, name.place);
                    self.apply_block(child, block, layer);
                }
            }
            Entry::Binding { path, value, place } => {
                self.bind(node, path, value, (layer, *place), false)
            }
            Entry::Domain { path, value, place } => {
                self.bind(node, path, value, (layer, *place), true)
            }
            Entry::Constant { name, value } => self.constant(node, name, value, layer),
            Entry::Require {
                condition,
                because,
                place,
            } => {
                self.laws.push(Law {
                    section: node,
                    condition: condition.clone(),
                    because: because.clone(),
                    place: *place,
                    layer,
                });
            }
            Entry::Objective { goals, place } => self.objective(node, goals, *place),
            Entry::Broken { path, place } => {
                self.unread(node, *place);
                if let Some(path) = path {
                    let broken = Expression {
                        kind: ExpressionKind::Broken,
                        place: *place,
                    };
                    if self
                        .tree
                        .body(node)
                        .is_some_and(|body| body.schema.field(&path.text).is_some())
                    {
                        self.add_cell(
                            node,
                            &path.text,
                            None,
                            Arc::new(broken),
                            (layer, *place),
                            false,
                        );
                    }
                }
            }
        }
    }

    /// `minimize …`; the nearest one wins.
    fn objective(&mut self, node: NodeId, goals: &[Goal], place: Place) {
        if self.tree.node(node).path != "plan" {
            let title = "a wish belongs to `plan`";
            let problem = Problem::error("pleach::objective::place", title, place, "not in `plan`");
            self.report(problem.help("write `plan { minimize … }`"));
            return;
        }
        self.goals = Some((node, goals.to_vec()));
    }

    /// `let name = value`.
    fn constant(&mut self, node: NodeId, name: &Name, value: &Arc<Expression>, layer: Layer) {
        let body = self.tree.body(node).expect("entries stand in sections");
        if body.schema.field(&name.text).is_some() {
            let title = format!(
                "`{}` is a field of `{}` and cannot be a constant",
                name.text, body.schema.name
            );
            let problem = Problem::error("pleach::let::field", title, name.place, "taken");
            self.report(problem.help(format!(
                "write `{} = …` to set the field, or choose another name",
                name.text
            )));
            return;
        }
        self.add_cell(
            node,
            &name.text,
            None,
            value.clone(),
            (layer, name.place),
            false,
        );
    }

    /// `path = value` and `path in choices`.
    pub(super) fn bind(
        &mut self,
        node: NodeId,
        path: &Path,
        value: &Arc<Expression>,
        at: (Layer, Place),
        domain: bool,
    ) {
        let Some((section, name)) = self.descend(node, path) else {
            return;
        };
        let body = self.tree.body(section).expect("descend gives sections");
        let Some(field) = body.schema.field(&name.text) else {
            let value = self.sources.text(value.place).to_string();
            self.report_unknown(section, &name, Some(&value));
            return;
        };
        let whole = self.tree.path_of(section, field.name);
        let open = field.open || SIZES.contains(&whole.as_str());
        if domain && (!open || matches!(value.kind, ExpressionKind::Table(_))) {
            self.report(closed_choice(field, &whole, value, at.1));
            return self.poison(section, field.name, at);
        }
        self.set_field(section, field, value, at, domain);
    }

    /// Reports a field that the section does not have. The one that was probably meant is not missing, and whoever mentions the wrong name
    /// is not wrong a second time.
    fn report_unknown(&mut self, section: NodeId, name: &Name, value: Option<&str>) {
        let full = self.is_full();
        let path = self.tree.node(section).path.clone();
        let Some(body) = self.tree.body_mut(section) else {
            return;
        };
        if full {
            return self.unknown_is_silent(section, name);
        }
        let (problem, meant) = unknown_and_meant(body.schema, &path, &name.text, name.place, value);
        let later = body.schema.later.contains(&name.text.as_str());
        (body.incomplete, body.torn) = (body.incomplete | later, body.torn | later);
        let inner = meant.and_then(|meant| body.children.get(meant).copied());
        body.meant.extend(meant);
        inner
            .into_iter()
            .for_each(|child| self.mark_incomplete(child));
        self.report(problem);
        self.unknown_is_silent(section, name);
    }

    /// Keeps whoever mentions a wrong name from being wrong a second time.
    fn unknown_is_silent(&mut self, section: NodeId, name: &Name) {
        if self.tree.child(section, &name.text).is_none() {
            self.poison(section, &name.text, (Layer::Override, name.place));
        }
    }

    /// Walks a dotted path down to its last section.
    fn descend(&mut self, node: NodeId, path: &Path) -> Option<(NodeId, Name)> {
        let mut section = node;
        let mut start = path.place.start;
        let mut parts = path.parts().peekable();
        while let Some(part) = parts.next() {
            let place = Place {
                start,
                end: (start + part.len()).min(path.place.end.max(start)),
                ..path.place
            };
            let name = Name {
                text: part.to_string(),
                place,
            };
            if parts.peek().is_none() {
                return Some((section, name));
            }
            section = self.open_section(section, &name)?;
            start += part.len() + 1;
        }
        None
    }

    /// The section of a name, to edit it; a choice between kinds starts from its default.
    fn open_section(&mut self, node: NodeId, name: &Name) -> Option<NodeId> {
        if let Some(row) = self.row(node, name) {
            return row;
        }
        let schema = self.tree.body(node)?.schema;
        let Some(field) = schema.field(&name.text) else {
            self.report_unknown(node, name, None);
            return None;
        };
        if !field.is_section() {
            let title = format!("`{}` is a value, not a section", field.name);
            let problem = Problem::error(
                "pleach::section::value",
                title,
                name.place,
                "it has no fields",
            );
            self.report(problem.help(format!("write `{} = …`", field.name)));
            return None;
        }
        match (self.tree.child(node, field.name), field.need) {
            (Some(child), _) => self.tree.body(child).is_some().then_some(child),
            (None, Need::Default(text)) => {
                self.set_default(node, field, text);
                self.tree.child(node, field.name)
            }
            (None, _) if field.name == MACHINES => {
                let at = (Layer::Override, name.place);
                Some(self.unnamed_machines(node, at))
            }
            (None, _) => {
                let title = format!(
                    "`{}` is not set yet, so there is nothing to edit",
                    field.name
                );
                let problem = Problem::error(
                    "pleach::section::unset",
                    title,
                    name.place,
                    "edits what is there",
                );
                self.report(problem.help(format!(
                    "write `{} = {} {{ … }}`",
                    field.name,
                    example_kind(field)
                )));
                self.poison(node, field.name, (Layer::Override, name.place));
                None
            }
        }
    }
}

/// Declarations that extend one another in a circle, told from the first in the file; or in a chain nobody follows.
fn extends_circle(chain: &[Name], closed: bool) -> Problem {
    let start = (0..chain.len())
        .min_by_key(|index| chain[*index].place)
        .unwrap_or(0);
    let start = if closed { start } else { 0 };
    let turned = chain[start..]
        .iter()
        .chain(&chain[..start])
        .chain(closed.then(|| &chain[start]));
    let names = turned
        .map(|name| name.text.as_str())
        .take(8)
        .collect::<Vec<_>>()
        .join(" → ");
    let title = match closed {
        true => format!("`{}` extends itself", chain[start].text),
        false => format!(
            "`{}` extends more than {LONGEST_CHAIN} others in a row",
            chain[start].text
        ),
    };
    Problem::error("pleach::extends::cycle", title, chain[start].place, names)
        .help("remove one `extends`")
}

/// What is set in a block: where, and whether it replaces what was there.
pub(super) type Seen<'block> = BTreeMap<&'block str, (Place, bool)>;

/// The name an entry sets, and whether it replaces (rather than edits) what is there.
pub(super) fn target(entry: &Entry) -> Option<(&str, bool)> {
    match entry {
        Entry::Section { name, .. } => Some((&name.text, false)),
        Entry::Constant { name, .. } => Some((&name.text, true)),
        Entry::Binding { path, .. } | Entry::Domain { path, .. } => Some((&path.text, true)),
        Entry::Require { .. } | Entry::Objective { .. } | Entry::Broken { .. } => None,
    }
}

/// The dotted names that the entries of a section set, each with its entry.
fn leaves(block: &Block, prefix: &str, found: &mut Vec<(String, Place)>) {
    for entry in &block.entries {
        match (entry, target(entry)) {
            (Entry::Section { name, block }, _) => {
                leaves(block, &format!("{prefix}.{}", name.text), found);
            }
            (Entry::Binding { .. } | Entry::Domain { .. }, Some((name, _))) => {
                found.push((format!("{prefix}.{name}"), entry.place()));
            }
            _ => {}
        }
    }
}

/// Whether two entries of one block set the same thing: the same name, or one replaces a section the other reaches into.
pub(super) fn clash(new: (&str, bool), old: (&str, bool)) -> bool {
    let inside = |inner: &str, outer: &str| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.starts_with('.'))
    };
    new.0 == old.0 || new.1 && inside(old.0, new.0) || old.1 && inside(new.0, old.0)
}

/// The entry that clashes with a new one: of the same name, below it, or above it. In order, what is below a name stands right behind it.
pub(super) fn clashing(seen: &Seen, name: &str, binds: bool) -> Option<Place> {
    let behind = (Bound::Excluded(name), Bound::Unbounded);
    let above = name.match_indices('.').map(|(end, _)| &name[..end]);
    let near = seen
        .get_key_value(name)
        .into_iter()
        .chain(seen.range::<str, _>(behind).next())
        .chain(above.filter_map(|outer| seen.get_key_value(outer)));
    near.filter(|(other, (_, bound))| clash((name, binds), (other, *bound)))
        .map(|(_, (place, _))| *place)
        .min()
}

/// A name that is set twice in one block.
pub(super) fn set_twice(name: &str, again: Place, first: Place) -> Problem {
    let title = format!("`{name}` is already set in this block");
    Problem::error("pleach::block::twice", title, again, "set again")
        .and(first, "first here")
        .help("keep one")
}

/// Two wishes in one block.
fn wished_twice(again: Place, first: Place) -> Problem {
    let title = "a placement is chosen by one wish, and this is another";
    Problem::error("pleach::objective::twice", title, again, "wished again")
        .and(first, "first here")
        .help("put them in order: `minimize time within 2% then cost`")
}

/// `in` where nothing is left open.
fn closed_choice(field: &Field, path: &str, value: &Expression, place: Place) -> Problem {
    let name = field.name;
    let code = "pleach::choice::closed";
    if matches!(value.kind, ExpressionKind::Table(_)) {
        let title = "cases in a table are taken by a sweep, one run each";
        let problem = Problem::error(code, title, place, "not directly in a `sweep`");
        return problem
            .help("write `sweep NAME extends EXPERIMENT { size in table { … } }`".to_string());
    }
    if path.starts_with("cluster.") {
        let title = format!("`{name}` of a cluster cannot be left to the planner");
        let problem = Problem::error(code, title, place, "`in` leaves a choice open");
        return problem.help(format!(
            "write `{name} = …`; how many `nodes` there are can be left open: `nodes in 4..16`"
        ));
    }
    let title = match path.starts_with("plan.") {
        true => format!("`{name}` of a plan is said, and cannot be left to the planner"),
        false => format!("`{name}` belongs to the experiment and cannot be left to the planner"),
    };
    let problem = Problem::error(code, title, place, "`in` leaves a choice open");
    problem.help(format!(
        "write `{name} = …`; or take every choice by a sweep: `sweep NAME extends EXPERIMENT {{ {path} in … }}`"
    ))
}
