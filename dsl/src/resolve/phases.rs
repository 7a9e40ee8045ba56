//! A curriculum: the table of phases becomes one section for each row, so that its cells are fields like any others.
//!
//! A dash keeps the value of the row above: not its formula, so that a batch that is kept while the context changes stays as large in tokens.
//! In the first row, and where there is no such column, the value is the one outside of the table. A learning rate that is kept goes on:
//! what it was falling to is reached at the end of the last phase that keeps it.

use std::sync::Arc;

use super::{Content, NodeId, Resolver};
use crate::evaluate::{Stop, Value};
use crate::origin::Layer;
use crate::problem::Problem;
use crate::quantity::{show, whole};
use crate::schema::{Field, Need, PHASE_STEPS, Section};
use crate::syntax::{Expression, ExpressionKind, Name, Place, Table};

/// A section whose children are rows.
pub static ROWS: Section = Section {
    name: "phases",
    doc: "The phases of a run, in order.",
    fields: &[],
    later: &[],
};

/// The most rows of such a table: each of them is a whole section.
const MOST_ROWS: usize = 1_000;

/// A table of more phases than a run has.
fn too_many(rows: usize, place: Place) -> Problem {
    let title = format!("`{}` has {} rows", ROWS.name, show(&whole(rows as u64)));
    let label = format!("at most {} are read", show(&whole(MOST_ROWS as u64)));
    let problem = Problem::error("pleach::phases::size", title, place, label);
    problem.help("join phases: a rate that falls and a batch that stays need one")
}

/// The rows of a table that became sections.
#[derive(Clone, Debug)]
pub struct Rows {
    /// What each of them is.
    pub columns: &'static Section,
    /// They, in order.
    pub order: Vec<NodeId>,
}

impl Resolver<'_> {
    /// Sets a field whose value is a table of sections.
    pub(super) fn set_rows(
        &mut self,
        node: NodeId,
        field: &'static Field,
        columns: &'static Section,
        value: &Arc<Expression>,
        at: (Layer, Place),
    ) {
        let value = self.follow_constants(node, value);
        let table = match &value.kind {
            ExpressionKind::Table(table) => table,
            ExpressionKind::Path(path) if field.or_word == Some(path.text.as_str()) => {
                return self.add_cell(node, field.name, Some(field), value, at, false);
            }
            ExpressionKind::Broken => return self.poison(node, field.name, at),
            _ => {
                self.report(not_a_table(field, columns, value.place));
                self.poison(node, field.name, at);
                return self.mark_incomplete(node);
            }
        };
        let path = self.tree.path_of(node, field.name);
        let before = self.problems.len();
        if table.rows.len() > MOST_ROWS {
            self.report(too_many(table.rows.len(), table.header[0].place));
        }
        let header = self.columns(columns, &path, table).unwrap_or_default();
        if self.problems.len() > before {
            self.poison(node, field.name, at);
            return self.mark_incomplete(node);
        }
        let section = self.section_node(Some(node), field.name, &ROWS, field.name, at);
        self.tree.attach(node, section);
        self.lay_rows(section, columns, &header, table, at.0);
        if self.problems.len() > before {
            self.mark_incomplete(section);
        }
    }

    /// One section for each row.
    fn lay_rows(
        &mut self,
        section: NodeId,
        columns: &'static Section,
        header: &[&'static Field],
        table: &Table,
        layer: Layer,
    ) {
        let mut order: Vec<NodeId> = Vec::new();
        for row in self.rows(header.len(), table) {
            let name = &row.name.text;
            if columns.field(name).is_some() {
                let title = format!("`{name}` is a column of `{}` and names no row", ROWS.name);
                let problem =
                    Problem::error("pleach::table::row_name", title, row.name.place, "taken");
                self.report(problem.help("give the row another name"));
                continue;
            }
            let at = (layer, row.place);
            let node = self.section_node(Some(section), name, columns, columns.name, at);
            self.tree.attach(section, node);
            for (field, cell) in header.iter().zip(&row.cells) {
                match (cell, order.last()) {
                    (Some(cell), _) => {
                        let value = Arc::new(cell.clone());
                        self.set_field(node, field, &value, (layer, cell.place), false);
                    }
                    (None, Some(above)) => self.keep_from(node, *above, field),
                    (None, None) => {}
                }
            }
            order.push(node);
        }
        if let Some(body) = self.tree.body_mut(section) {
            body.rows = Some(Rows { columns, order });
        }
    }

    /// A dash: the value of the row above, whatever that will be.
    fn keep_from(&mut self, row: NodeId, above: NodeId, field: &'static Field) {
        let Some(kept) = self.tree.child(above, field.name) else {
            return;
        };
        let node = self.tree.node(kept);
        let Content::Cell { value, .. } = &node.content else {
            return;
        };
        let (value, at) = (value.clone(), (node.layer, node.place));
        self.add_cell(row, field.name, Some(field), value, at, false);
        if let Some(cell) = self.tree.child(row, field.name) {
            self.kept.insert(cell, above);
        }
    }

    /// The value that a dash keeps; none for a cell that has its own.
    pub(super) fn kept_value(&mut self, cell: NodeId) -> Option<Result<Value, Stop>> {
        let above = *self.kept.get(&cell)?;
        let name = self.tree.node(cell).name.clone();
        let kept = self.tree.child(above, &name)?;
        Some(self.settled(kept))
    }

    /// The phases of the run, in order; none where it has none.
    pub fn phases(&self) -> Option<Vec<NodeId>> {
        let train = self.tree.find("train")?;
        self.rows_of(train)
    }

    /// The rows in the field `phases` of a section.
    pub(super) fn rows_of(&self, section: NodeId) -> Option<Vec<NodeId>> {
        let rows = self.tree.child(section, ROWS.name)?;
        Some(self.tree.body(rows)?.rows.as_ref()?.order.clone())
    }

    /// A row by its name, to edit it; none for what has no rows.
    pub(super) fn row(&mut self, section: NodeId, name: &Name) -> Option<Option<NodeId>> {
        let body = self.tree.body(section)?;
        let rows = body.rows.as_ref()?;
        if let Some(row) = body.children.get(&name.text) {
            return Some(Some(*row));
        }
        let names: Vec<&str> = rows
            .order
            .iter()
            .map(|row| self.tree.node(*row).name.as_str())
            .collect();
        let title = format!("`{}` has no row `{}`", ROWS.name, name.text);
        let problem = Problem::error("pleach::table::row", title, name.place, "no such row");
        let near = crate::names::nearest(&name.text, names.iter().copied());
        let help = match near {
            Some(found) => format!("did you mean `{found}`?"),
            None => format!("its rows are {}", names.join(", ")),
        };
        self.report(problem.help(help));
        Some(None)
    }

    /// A column over all rows, with what dashes keep.
    pub(super) fn rows_column(&mut self, section: NodeId, column: &str) -> Result<Value, Stop> {
        let body = self.tree.body(section).filter(|body| !body.incomplete);
        let rows = body.and_then(|body| body.rows.clone());
        let rows = rows.ok_or(Stop::Poisoned)?;
        let mut values = Vec::new();
        for row in rows.order {
            let cell = self.tree.child(row, column).ok_or(Stop::Poisoned)?;
            values.push(self.settled(cell));
        }
        Ok(Value::List(values.into_iter().collect::<Result<_, _>>()?))
    }

    /// Whether a column has one value in each row: a field that is no section, or the steps.
    pub(super) fn is_column(&self, section: NodeId, name: &str) -> bool {
        let rows = self.tree.body(section).and_then(|body| body.rows.as_ref());
        rows.is_some_and(|rows| {
            let field = rows.columns.field(name);
            name == PHASE_STEPS.name || field.is_some_and(|field| !field.is_section())
        })
    }

    /// What holds of training that is cut into phases: its length is theirs, and what every phase says need not be said outside of them.
    /// Says whether a field is settled by that.
    pub(super) fn settled_by_phases(&mut self, node: NodeId, field: &'static Field) -> bool {
        if node == 0 && field.name == "data" {
            return self.data_of_phases(field);
        }
        if self.is_row(node) && field.name == "global_batch" {
            let outside = self.tree.find("train.global_batch").is_some();
            if outside {
                self.set_default(node, field, "train.global_batch");
            }
            return outside;
        }
        let Some(rows) = self.rows_of(node) else {
            return false;
        };
        match field.name {
            "steps" => self.set_default(node, field, "sum(phases.steps)"),
            "tokens" => self.set_default(node, field, "sum(phases.lasts)"),
            "global_batch" | "lr" => {
                let first = rows.first();
                return first.is_some_and(|row| self.tree.child(*row, field.name).is_some());
            }
            _ => return false,
        }
        true
    }

    /// The data of the first phase stands for the experiment's, where nothing else does.
    fn data_of_phases(&mut self, field: &'static Field) -> bool {
        let first = self.phases().and_then(|rows| rows.first().copied());
        let data = first.and_then(|row| self.tree.child(row, field.name));
        if let Some(data) = data {
            self.tree.attach_as(0, field.name, data);
        }
        data.is_some()
    }

    /// The row that a section is, or lies in.
    pub(super) fn row_around(&self, section: NodeId) -> Option<NodeId> {
        let mut at = section;
        while let Some(parent) = self.tree.node(at).parent {
            if self
                .tree
                .body(parent)
                .is_some_and(|body| body.rows.is_some())
            {
                return Some(at);
            }
            at = parent;
        }
        None
    }

    fn is_row(&self, node: NodeId) -> bool {
        self.row_around(node) == Some(node)
    }

    /// Computes the steps of a row.
    pub(super) fn count_steps(&mut self, row: NodeId) {
        if let Need::Default(text) = PHASE_STEPS.need
            && self.is_row(row)
        {
            self.set_default(row, &PHASE_STEPS, text);
        }
    }
}

/// Something else where a table of phases is wanted.
fn not_a_table(field: &Field, columns: &Section, place: Place) -> Problem {
    let title = format!("`{}` is a table, and this is none", field.name);
    let names: Vec<&str> = columns.fields.iter().map(|column| column.name).collect();
    Problem::error("pleach::table::wanted", title, place, "not a table").help(format!(
        "write `{} = table {{ … }}` with the columns name | {}",
        field.name,
        names.join(" | ")
    ))
}
