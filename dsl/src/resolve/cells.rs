//! Cells to values, on demand: a cell is computed once, when somebody asks, and whatever it mentions is computed for it.
//!
//! A name is looked for in the nearest section first, then outwards; a cell never finds itself, so `width = 4 * hidden` inside `mlp` finds the
//! model's `hidden`. What no cell answers may be a figure of the placement, or a word.

use std::sync::Arc;

use super::unknown::unknown_field;
use super::{Content, NodeId, Resolver, is_structure, meant_by_neighbour};
use crate::evaluate::{MOST_VALUES, Stop, Surroundings, Value, evaluate, too_many_values};
use crate::names::nearest;
use crate::origin::Layer;
use crate::problem::Problem;
use crate::quantity::Quantity;
use crate::schema::{EXPERIMENT, FIGURES, Field, Need, SIZED, STAGES, Type, WORDS};
use crate::syntax::{Expression, ExpressionKind, Path, Place, Table};

/// The longest chain of cells that may wait for one another.
const LONGEST_CHAIN: usize = 100;

/// What a path leads to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Target {
    /// A cell.
    Cell(NodeId),
    /// A column of a table.
    Column(NodeId, String),
    /// A figure of the placement.
    Figure(&'static str),
    /// The layers of a model.
    Layers(NodeId),
    /// A column of a table whose rows are sections.
    Rows(NodeId, String),
    /// A word.
    Word(String),
}

/// Where a formula stands.
#[derive(Clone, Copy)]
pub(super) struct Standing {
    /// The nearest section.
    pub section: NodeId,
    /// The cell it is the formula of, which it never finds.
    pub itself: Option<NodeId>,
}

/// The resolver as seen by a formula.
pub(super) struct Here<'run, 'files> {
    pub resolver: &'run mut Resolver<'files>,
    pub standing: Standing,
    /// Values of the parts, where a picture is wanted.
    pub notes: Option<Vec<(Place, String)>>,
}

impl Surroundings for Here<'_, '_> {
    fn look_up(&mut self, path: &Path) -> Result<Value, Stop> {
        match self.resolver.find(path, self.standing)? {
            Target::Cell(id) => self.resolver.settled(id),
            Target::Column(id, column) => self.resolver.column(id, &column, path),
            Target::Figure(name) => Err(Stop::Open(name.to_string())),
            Target::Layers(id) => self.resolver.layers_as_value(id),
            Target::Rows(id, column) => self.resolver.rows_column(id, &column),
            Target::Word(word) => Ok(Value::Word(word)),
        }
    }

    fn sequence(&mut self) -> Result<Quantity, Stop> {
        self.resolver.sequence(self.standing.section)
    }

    fn report(&mut self, problem: Problem) {
        self.resolver.report(problem);
    }

    fn make_room(&mut self, values: usize, place: Place) -> bool {
        let listed = self.resolver.listed.saturating_add(values);
        if listed > MOST_VALUES {
            self.report(too_many_values(place));
            return false;
        }
        self.resolver.listed = listed;
        true
    }

    fn note(&mut self, place: Place, value: &Value) {
        if let Some(notes) = &mut self.notes {
            notes.push((place, value.show()));
        }
    }
}

impl Resolver<'_> {
    /// The value of a cell in base units, held against its field's type.
    pub fn value(&mut self, id: NodeId) -> Result<Value, Stop> {
        self.values.resize(self.tree.count(), None);
        if let Some(known) = &self.values[id] {
            return known.clone();
        }
        if self.stack.contains(&id) || self.stack.len() > LONGEST_CHAIN {
            self.report_circle(id);
            return Err(Stop::Poisoned);
        }
        self.stack.push(id);
        let value = self.compute(id);
        self.stack.pop();
        self.values.resize(self.tree.count(), None);
        self.values[id] = Some(value.clone());
        value
    }

    /// The value of a cell as another formula sees it: a choice that `in` leaves open has none yet.
    pub(super) fn settled(&mut self, id: NodeId) -> Result<Value, Stop> {
        let node = self.tree.node(id);
        match node.content {
            Content::Cell { domain: true, .. } => Err(Stop::Open(node.name.clone())),
            _ => self.value(id),
        }
    }

    fn compute(&mut self, id: NodeId) -> Result<Value, Stop> {
        if let Some(kept) = self.kept_value(id) {
            return kept;
        }
        let node = self.tree.node(id);
        let (parent, entry) = (node.parent.unwrap_or(0), node.place);
        let Content::Cell {
            value,
            field,
            domain,
        } = &node.content
        else {
            return Err(Stop::Poisoned);
        };
        let (value, field, domain) = (value.clone(), *field, *domain);
        if is_structure(&value) && holds_structure(field) {
            // Rows and sections are read where they are used; as a whole they have no value.
            return Err(Stop::Poisoned);
        }
        let result = self.evaluate_at(
            &value,
            Standing {
                section: parent,
                itself: Some(id),
            },
        );
        let Some(field) = field else { return result };
        match result {
            Err(Stop::Open(name)) if !field.open && !self.waits_for_size(id, &name) => {
                let problem = depends_on_placement(&self.tree.node(id).path, &name, value.place);
                self.report(problem);
                Err(Stop::Poisoned)
            }
            Err(stop) => Err(stop),
            Ok(Value::List(items)) if domain && items.is_empty() => {
                let problem = no_choice(field, value.place);
                self.report(problem);
                Err(Stop::Poisoned)
            }
            Ok(Value::List(items)) if domain => self.coerce_choices(id, field, items, &value),
            Ok(_) if domain => {
                let problem = single_choice(field, self.sources.text(value.place), value.place);
                self.report(problem);
                Err(Stop::Poisoned)
            }
            Ok(result) => self.coerce(id, field, result, value.place, entry),
        }
    }

    /// Whether a cell waits for nothing but the size of the cluster, and may.
    fn waits_for_size(&self, id: NodeId, name: &str) -> bool {
        matches!(name, "nodes" | "gpus") && SIZED.contains(&self.tree.node(id).path.as_str())
    }

    /// Each choice of an `in`, held against the type.
    fn coerce_choices(
        &mut self,
        id: NodeId,
        field: &'static Field,
        items: Vec<Value>,
        value: &Expression,
    ) -> Result<Value, Stop> {
        let place_of = |index: usize| match &value.kind {
            ExpressionKind::List(list) => list.get(index).map_or(value.place, |item| item.place),
            _ => value.place,
        };
        let whole = self.tree.node(id).place;
        let results: Vec<_> = items
            .into_iter()
            .enumerate()
            .map(|(index, item)| self.coerce(id, field, item, place_of(index), whole))
            .collect();
        Ok(Value::List(results.into_iter().collect::<Result<_, _>>()?))
    }

    /// A formula's value where it stands.
    pub(super) fn evaluate_at(
        &mut self,
        expression: &Arc<Expression>,
        standing: Standing,
    ) -> Result<Value, Stop> {
        evaluate(
            expression,
            &mut Here {
                resolver: self,
                standing,
                notes: None,
            },
        )
    }

    /// A cell's formula as it was written.
    pub fn formula_text(&self, id: NodeId) -> &str {
        match &self.tree.node(id).content {
            Content::Cell { value, .. } => self.sources.text(value.place),
            Content::Section(_) => "",
        }
    }

    /// The value of one cell of a table; none where it was reported.
    pub fn table_value(&mut self, table: NodeId, cell: &Expression) -> Option<Value> {
        let standing = Standing {
            section: self.tree.node(table).parent.unwrap_or(0),
            itself: Some(table),
        };
        self.evaluate_at(&Arc::new(cell.clone()), standing).ok()
    }

    /// What a path means from a place.
    pub(super) fn find(&mut self, path: &Path, standing: Standing) -> Result<Target, Stop> {
        let mut parts = path.parts();
        let first = parts.next().unwrap_or_default();
        let rest: Vec<&str> = parts.collect();
        let mut section = Some(standing.section);
        let mut lost = false;
        // A word in a default is the language's own: it never means a `let` of the spec.
        let own = |id: NodeId| self.tree.node(id).layer == Layer::Default;
        let word = WORDS.contains(first) && standing.itself.is_some_and(own);
        while let Some(at) = section {
            // The rows of a table are not names of their cells' formulas.
            let rows = self.tree.body(at).is_some_and(|body| body.rows.is_some());
            if let Some(child) = self
                .tree
                .child(at, first)
                .filter(|child| Some(*child) != standing.itself && !rows)
                .filter(|child| !word || !self.is_constant(*child))
            {
                return self.walk(child, &rest, path);
            }
            lost |= self.tree.body(at).is_some_and(|body| body.may_hold(first));
            section = self.tree.node(at).parent;
        }
        if let Some(figure) = self.figure(path) {
            return Ok(figure);
        }
        if rest.is_empty() && WORDS.contains(first) {
            return Ok(Target::Word(first.to_string()));
        }
        if !lost && !self.is_full() {
            let problem = self.unknown_name(path, standing);
            self.report(problem);
        }
        Err(Stop::Poisoned)
    }

    /// A figure of the placement; the memory of a GPU is known where the cluster says it.
    fn figure(&self, path: &Path) -> Option<Target> {
        if path.text == "gpu.memory"
            && let Some(memory) = self.tree.find("cluster.memory")
        {
            return Some(Target::Cell(memory));
        }
        FIGURES
            .iter()
            .find(|(name, _)| *name == path.text)
            .map(|(name, _)| Target::Figure(name))
    }

    /// From a node along the rest of a path.
    fn walk(&mut self, start: NodeId, rest: &[&str], path: &Path) -> Result<Target, Stop> {
        let mut id = start;
        for (index, part) in rest.iter().enumerate() {
            let node = self.tree.node(id);
            match &node.content {
                Content::Section(body) => match body.children.get(*part) {
                    Some(child) => id = *child,
                    None if self.is_column(id, part) && index + 1 == rest.len() => {
                        return Ok(Target::Rows(id, (*part).to_string()));
                    }
                    None => {
                        let (schema, lost, at) =
                            (body.schema, body.may_hold(part), node.path.clone());
                        let problem = match schema.field(part) {
                            Some(_) => unset(&path.text, path.place),
                            None => unknown_field(schema, &at, part, path.place),
                        };
                        if !lost {
                            self.report(problem);
                        }
                        return Err(Stop::Poisoned);
                    }
                },
                Content::Cell {
                    field: Some(field), ..
                } if matches!(field.holds, Type::Table(_)) && index + 1 == rest.len() => {
                    return Ok(Target::Column(id, (*part).to_string()));
                }
                Content::Cell { .. } if self.tree.is_broken(id) => return Err(Stop::Poisoned),
                Content::Cell { .. } => {
                    let title = format!("`{}` is a value and has no field `{part}`", node.name);
                    self.report(Problem::error(
                        "pleach::name::unknown",
                        title,
                        path.place,
                        "no such field",
                    ));
                    return Err(Stop::Poisoned);
                }
            }
        }
        match &self.tree.node(id).content {
            Content::Cell { value, .. } if !matches!(value.kind, ExpressionKind::Amend(..)) => {
                Ok(Target::Cell(id))
            }
            Content::Section(body) if body.pattern.is_some() => Ok(Target::Layers(id)),
            Content::Section(body)
                if body.schema.fields.is_empty() || WORDS.contains(body.kind.as_str()) =>
            {
                Ok(Target::Word(body.kind.clone()))
            }
            Content::Section(_) | Content::Cell { .. } => {
                let title = format!("`{}` is a section and has no value of its own", path.text);
                let problem =
                    Problem::error("pleach::section::value", title, path.place, "a section");
                self.report(problem.help(format!("name one of its fields: `{}.…`", path.text)));
                Err(Stop::Poisoned)
            }
        }
    }

    /// A column of a table as a list; rows that leave it out are left out.
    pub(super) fn column(&mut self, id: NodeId, column: &str, path: &Path) -> Result<Value, Stop> {
        let node = self.tree.node(id);
        let parent = node.parent.unwrap_or(0);
        let Content::Cell { value, .. } = &node.content else {
            return Err(Stop::Poisoned);
        };
        let ExpressionKind::Table(table) = &value.clone().kind else {
            return Err(Stop::Poisoned);
        };
        let table: Table = table.clone();
        let Some(index) = table
            .header
            .iter()
            .skip(1)
            .position(|name| name.text == column)
        else {
            let title = format!("this table has no column `{column}`");
            let names: Vec<&str> = table.header.iter().map(|name| name.text.as_str()).collect();
            let problem =
                Problem::error("pleach::table::column", title, path.place, "no such column");
            self.report(problem.help(match nearest(column, names.iter().copied()) {
                Some(found) => {
                    let owner = path.text.rsplit_once('.').map_or("", |(owner, _)| owner);
                    format!("did you mean `{owner}.{found}`?")
                }
                None => format!("its columns are {}", names.join(", ")),
            }));
            return Err(Stop::Poisoned);
        };
        let cells = table
            .rows
            .iter()
            .filter_map(|row| row.cells.get(index).cloned().flatten());
        let standing = Standing {
            section: parent,
            itself: Some(id),
        };
        let values: Vec<_> = cells
            .map(|cell| self.evaluate_at(&Arc::new(cell), standing))
            .collect();
        Ok(Value::List(values.into_iter().collect::<Result<_, _>>()?))
    }

    /// Tokens of one sequence as a section sees it: the context of its phase, or the model's. Without one, that was reported where it is missing.
    pub(super) fn sequence(&mut self, section: NodeId) -> Result<Quantity, Stop> {
        let row = self.row_around(section);
        let context = row.and_then(|row| self.tree.child(row, "context"));
        let context = context.or_else(|| self.tree.find("model.context"));
        let context = context.ok_or(Stop::Poisoned)?;
        match self.value(context)? {
            Value::Number(quantity) => Ok(quantity),
            _ => Err(Stop::Poisoned),
        }
    }

    /// A cell that waits for itself; the chain of formulas is the message.
    fn report_circle(&mut self, id: NodeId) {
        let start = self
            .stack
            .iter()
            .position(|waiting| *waiting == id)
            .unwrap_or(0);
        let circle: Vec<NodeId> = self.stack[start..].iter().take(8).copied().collect();
        let path = self.tree.node(id).path.clone();
        if self.stack.len() > LONGEST_CHAIN {
            let place = self.tree.node(id).place;
            let title = format!("`{path}` depends on more than {LONGEST_CHAIN} cells in a row");
            self.report(Problem::error(
                "pleach::cell::chain",
                title,
                place,
                "the chain ends here",
            ));
            return;
        }
        let own = |id: &NodeId| self.tree.node(*id).layer != Layer::Default;
        let first = circle.iter().copied().find(own).unwrap_or(id);
        let label = |id: NodeId| {
            let node = self.tree.node(id);
            self.sources.line_text(match &node.content {
                Content::Cell {
                    value, field: None, ..
                } => node.place.to(value.place),
                _ => node.place,
            })
        };
        let name = self.tree.node(first).path.clone();
        let title = format!("`{name}` depends on itself");
        let mut problem = Problem::error(
            "pleach::cell::circle",
            title,
            self.tree.node(first).place,
            label(first),
        );
        for other in circle.iter().copied().filter(|other| *other != first) {
            problem = problem.and(self.tree.node(other).place, label(other));
        }
        self.report(problem.help("give one of them a number"));
    }

    /// A name that no cell, figure or word answers.
    pub(super) fn unknown_name(&self, path: &Path, standing: Standing) -> Problem {
        let title = format!("there is nothing called `{}` here", path.text);
        let problem = Problem::error("pleach::name::unknown", title, path.place, "unknown name");
        let mut names: Vec<&str> = WORDS
            .iter()
            .copied()
            .chain(FIGURES.iter().map(|(name, _)| *name))
            .chain(["true", "false"])
            .collect();
        let mut section = Some(standing.section);
        while let Some(at) = section {
            if standing.itself.is_some() && self.tree.child(at, &path.text) == standing.itself {
                return mentions_itself(&path.text, path.place);
            }
            if let Some(body) = self.tree.body(at) {
                let others = body.children.iter();
                let others = others.filter(|(_, child)| Some(**child) != standing.itself);
                names.extend(others.map(|(name, _)| name.as_str()));
                if let Some(field) = body.schema.field(&path.text) {
                    return unset(field.name, path.place);
                }
            }
            section = self.tree.node(at).parent;
        }
        if let Some(words) = self.words_of(standing) {
            if let Some(help) = meant_by_neighbour(&path.text, words) {
                return problem.help(help);
            }
            let near = nearest(&path.text, words.iter().copied());
            return problem.help(match near {
                Some(found) => format!("did you mean `{found}`?"),
                None => format!("it is one of {}", words.join(", ")),
            });
        }
        if let Some(found) = nearest(&path.text, names.into_iter()) {
            return problem.help(format!("did you mean `{found}`?"));
        }
        match elsewhere(&path.text) {
            Some(found) => problem.help(format!("did you mean `{found}`?")),
            None => problem,
        }
    }

    /// The words a cell's field takes, where it takes words.
    fn words_of(&self, standing: Standing) -> Option<&'static [&'static str]> {
        match &self.tree.node(standing.itself?).content {
            Content::Cell {
                field: Some(field), ..
            } => match field.holds {
                Type::Words(words) | Type::WordList(words) => Some(words),
                Type::Stages => Some(STAGES),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The path of the field, anywhere in an experiment, whose name comes nearest.
fn elsewhere(name: &str) -> Option<String> {
    let sections = EXPERIMENT
        .fields
        .iter()
        .filter_map(|field| match field.holds {
            Type::Section(inner) | Type::Declared(_, inner) => Some((field.name, inner)),
            _ => None,
        });
    let fields: Vec<(&str, &str)> = sections
        .flat_map(|(owner, inner)| inner.fields.iter().map(move |field| (owner, field.name)))
        .collect();
    let found = nearest(name, fields.iter().map(|(_, field)| *field))?;
    let (owner, field) = fields.into_iter().find(|(_, field)| *field == found)?;
    Some(format!("{owner}.{field}"))
}

/// Whether a cell may hold a table or a section: a table's field, or a `let`.
fn holds_structure(field: Option<&Field>) -> bool {
    field.is_none_or(|field| matches!(field.holds, Type::Table(_) | Type::Stack(_)))
}

/// A field of the experiment whose formula asks for something the planner settles.
fn depends_on_placement(path: &str, name: &str, place: Place) -> Problem {
    let title = format!("`{path}` cannot depend on the placement");
    let problem = Problem::error(
        "pleach::field::open",
        title,
        place,
        format!("`{name}` is settled by the planner"),
    );
    problem.help("an experiment is the same on every placement; put what depends on it into `plan`")
}

/// `tp in 4`.
fn single_choice(field: &Field, text: &str, place: Place) -> Problem {
    let name = field.name;
    let title = format!("`in` wants several values for `{name}`");
    let problem = Problem::error("pleach::choice::list", title, place, "one value");
    problem.help(format!(
        "write `{name} = {text}`, or a list: `{name} in [1, 2, 4]`"
    ))
}

/// `tp in []`.
fn no_choice(field: &Field, place: Place) -> Problem {
    let name = field.name;
    let title = format!("`{name}` has no choices");
    let problem = Problem::error("pleach::choice::list", title, place, "nothing in it");
    problem.help(if matches!(field.need, Need::Default("auto")) {
        format!("name at least one, or write `{name} = auto`")
    } else {
        "name at least one".to_string()
    })
}

/// `pp = pp + 1`.
fn mentions_itself(name: &str, place: Place) -> Problem {
    let title = format!("`{name}` is computed from itself");
    Problem::error("pleach::cell::circle", title, place, "its own value")
        .help("write a number here, or the name of another field")
}

/// A field that exists and that nobody set.
fn unset(name: &str, place: Place) -> Problem {
    let title = format!("`{name}` is mentioned here but set nowhere");
    Problem::error("pleach::name::unset", title, place, "no value")
        .help("set it, or write a number here")
}
