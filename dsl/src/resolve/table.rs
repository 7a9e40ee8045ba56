//! What every table of records keeps to: a column once, a row once, and as many values in a row as there are columns.

use std::collections::BTreeMap;

use super::Resolver;
use super::unknown::unknown_field;
use crate::problem::Problem;
use crate::schema::{Field, Section};
use crate::syntax::{Row, Table};

impl Resolver<'_> {
    /// The fields of the columns behind the name; none where one was reported.
    pub(super) fn columns(
        &mut self,
        columns: &'static Section,
        path: &str,
        table: &Table,
    ) -> Option<Vec<&'static Field>> {
        let mut header: Vec<&'static Field> = Vec::new();
        let before = self.problems.len();
        for column in table.header.iter().skip(1) {
            let Some(field) = columns.field(&column.text) else {
                let problem = unknown_field(columns, path, &column.text, column.place);
                self.report(problem);
                continue;
            };
            if header.iter().any(|known| known.name == field.name) {
                let title = format!("`{}` is already a column of this table", field.name);
                let problem = Problem::error("pleach::table::twice", title, column.place, "again");
                self.report(problem.help("keep one"));
                continue;
            }
            header.push(field);
        }
        (self.problems.len() == before).then_some(header)
    }

    /// The rows that have a name of their own and a value for each of so many columns.
    pub(super) fn rows<'table>(
        &mut self,
        columns: usize,
        table: &'table Table,
    ) -> Vec<&'table Row> {
        let mut rows: Vec<&Row> = Vec::new();
        let mut named: BTreeMap<&str, &Row> = BTreeMap::new();
        for row in &table.rows {
            if let Some(first) = named.get(row.name.text.as_str()) {
                let title = format!("`{}` is already a row of this table", row.name.text);
                let problem =
                    Problem::error("pleach::table::twice", title, row.name.place, "again");
                self.report(
                    problem
                        .and(first.name.place, "first here")
                        .help("keep one, or rename it"),
                );
                continue;
            }
            if row.cells.len() != columns {
                let title = format!(
                    "this row has {} values, the table has {} columns",
                    row.cells.len() + 1,
                    columns + 1
                );
                self.report(Problem::error(
                    "pleach::table::width",
                    title,
                    row.place,
                    format!("{} values", row.cells.len() + 1),
                ));
                continue;
            }
            named.insert(&row.name.text, row);
            rows.push(row);
        }
        rows
    }
}
