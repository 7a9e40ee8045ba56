//! The table of a mix: rows to components with exact shares.
//!
//! A share is written as `weight`, or follows from `size` and `epochs`. Writing all three is saying it twice, which is checked.

use std::rc::Rc;

use num_rational::BigRational;
use num_traits::{One, Signed, Zero};

use super::cells::Standing;
use super::{Content, NodeId, Resolver};
use crate::evaluate::Value;
use crate::problem::Problem;
use crate::quantity::{Quantity, exact_power, show, show_quantity, whole};
use crate::schema::{Field, Type};
use crate::syntax::{Expression, ExpressionKind, Place, Row, Table};

/// One component.
#[derive(Clone, Debug)]
pub struct Share {
    /// Its name.
    pub name: String,
    /// Its row.
    pub place: Place,
    /// Globs over the source's files.
    pub files: Vec<String>,
    /// Its exact share of the tokens.
    pub weight: BigRational,
    /// Its size in bytes.
    pub size: Option<BigRational>,
}

/// A row while it is read: a value and its place for each column.
type Cells = Vec<(&'static Field, Option<(Value, Place)>)>;

impl Resolver<'_> {
    /// The components of the experiment's mix; none where something was reported, a single whole where there is no table.
    pub fn mix(&mut self) -> Option<Vec<Share>> {
        self.mix_of("data")
    }

    /// The same of any dataset.
    pub fn mix_of(&mut self, path: &str) -> Option<Vec<Share>> {
        let data = self.tree.find(path)?;
        let body = self.tree.body(data)?;
        let Some(id) = body.children.get("mix").copied() else {
            let (name, place) = (body.kind.clone(), self.tree.node(data).place);
            return Some(vec![Share {
                name,
                place,
                files: Vec::new(),
                weight: BigRational::one(),
                size: None,
            }]);
        };
        let Content::Cell {
            value,
            field: Some(field),
            ..
        } = &self.tree.node(id).content
        else {
            return None;
        };
        let Type::Table(columns) = field.holds else {
            return None;
        };
        let value = value.clone();
        let ExpressionKind::Table(table) = &value.kind else {
            // Whatever else stands there is reported as any value of the wrong kind.
            let reported = self.value(id);
            debug_assert!(reported.is_err());
            return None;
        };
        let header = self.columns(columns, "data.mix", table)?;
        let rows = self.mix_rows(id, &header, table)?;
        self.shares(id, &rows)
    }

    /// The rows, each cell evaluated and held against its column.
    fn mix_rows(
        &mut self,
        id: NodeId,
        header: &[&'static Field],
        table: &Table,
    ) -> Option<Vec<(Row, Cells)>> {
        let mut rows: Vec<(Row, Cells)> = Vec::new();
        let before = self.problems.len();
        for row in self.rows(header.len(), table) {
            let above = rows.last().map(|(_, cells)| cells);
            let carried: Vec<_> = header
                .iter()
                .enumerate()
                .map(|(index, _)| above.and_then(|cells| cells[index].1.clone()))
                .collect();
            let mut cells = Cells::new();
            for ((field, cell), carried) in header.iter().zip(&row.cells).zip(carried) {
                let value = match cell {
                    None => carried,
                    Some(cell) => self
                        .mix_cell(id, field, cell)
                        .map(|value| (value, cell.place)),
                };
                cells.push((field, value));
            }
            rows.push((row.clone(), cells));
        }
        (self.problems.len() == before).then_some(rows)
    }

    fn mix_cell(&mut self, id: NodeId, field: &'static Field, cell: &Expression) -> Option<Value> {
        let parent = self.tree.node(id).parent.unwrap_or(0);
        let value = self
            .evaluate_at(
                &Rc::new(cell.clone()),
                Standing {
                    section: parent,
                    itself: Some(id),
                },
            )
            .ok()?;
        self.coerce(id, field, value, cell.place, cell.place).ok()
    }

    /// Shares from weights, or from sizes and epochs; both must agree.
    fn shares(&mut self, id: NodeId, rows: &[(Row, Cells)]) -> Option<Vec<Share>> {
        let weights: Vec<Option<BigRational>> = rows
            .iter()
            .map(|(_, cells)| number(cells, "weight"))
            .collect();
        let sizes: Vec<Option<BigRational>> = rows
            .iter()
            .map(|(_, cells)| number(cells, "size"))
            .collect();
        let passes =
            |index: usize| number(&rows[index].1, "epochs").unwrap_or_else(BigRational::one);
        let amounts: Option<Vec<BigRational>> = sizes
            .iter()
            .enumerate()
            .map(|(index, size)| size.as_ref().map(|size| size * passes(index)))
            .collect();
        let computed = amounts
            .filter(|amounts| !amounts.is_empty())
            .map(|amounts| {
                let total: BigRational = amounts.iter().sum();
                (
                    amounts
                        .iter()
                        .map(|amount| amount / &total)
                        .collect::<Vec<_>>(),
                    amounts,
                    total,
                )
            });
        let written: Option<Vec<BigRational>> = weights.iter().cloned().collect();
        let shares = match (written, computed) {
            (Some(written), computed) => {
                self.check_sum(id, rows, &written)?;
                if let Some((shares, amounts, total)) = computed {
                    self.check_agreement(rows, &written, &shares, (&amounts, &total))?;
                }
                written
            }
            (None, Some((shares, ..))) if weights.iter().all(Option::is_none) => shares,
            _ => {
                self.report_no_shares(id, rows, &weights);
                return None;
            }
        };
        Some(
            rows.iter()
                .zip(shares)
                .zip(sizes)
                .map(|(((row, cells), weight), size)| component(row, cells, weight, size))
                .collect(),
        )
    }

    /// The weights of a mix add up to 105%, not 100%.
    fn check_sum(
        &mut self,
        id: NodeId,
        rows: &[(Row, Cells)],
        weights: &[BigRational],
    ) -> Option<()> {
        let total: BigRational = weights.iter().sum();
        if total.is_one() {
            return Some(());
        }
        let title = format!(
            "the weights of `mix` add up to {}, not 100%",
            percent(&total)
        );
        let mut labels = rows
            .iter()
            .zip(weights)
            .filter_map(|((row, cells), weight)| {
                let place = cells
                    .iter()
                    .find(|(field, _)| field.name == "weight")?
                    .1
                    .as_ref()?
                    .1;
                Some((place, format!("{} {}", row.name.text, percent(weight))))
            });
        let (place, label) = labels
            .next()
            .unwrap_or((self.tree.node(id).place, "this table".to_string()));
        let mut problem = Problem::error("pleach::mix::sum", title, place, label);
        for (place, label) in labels.take(7) {
            problem = problem.and(place, label);
        }
        if total.is_positive() {
            let scaled: Vec<String> = weights
                .iter()
                .map(|weight| percent(&(weight / &total)))
                .collect();
            problem = problem.help(format!(
                "scaled: {}; or drop the column and give `size` and `epochs`",
                scaled.join(", ")
            ));
        }
        self.report(problem);
        None
    }

    /// The weight that contradicts size × epochs most, by more than the rounding of two decimals: where one is wrong, the others' shares move too.
    fn check_agreement(
        &mut self,
        rows: &[(Row, Cells)],
        written: &[BigRational],
        computed: &[BigRational],
        (amounts, total): (&[BigRational], &BigRational),
    ) -> Option<()> {
        let tolerance = exact_power(10, -4) / whole(2);
        let gap = |index: usize| (&written[index] - &computed[index]).abs();
        let relative = |index: &usize| gap(*index) / &computed[*index];
        let worst = (0..rows.len())
            .filter(|index| gap(*index) > tolerance)
            .max_by_key(relative);
        let Some(index) = worst else { return Some(()) };
        let (row, cells) = &rows[index];
        let bytes = |value: &BigRational| {
            show_quantity(&Quantity {
                value: value.clone(),
                ..Quantity::bytes(0)
            })
        };
        let (weight, follows) = (percent(&written[index]), percent(&computed[index]));
        let title = format!(
            "`{}` has weight {weight}, but its size and epochs give {follows}",
            row.name.text
        );
        let place_of = |name: &str| {
            let column = cells.iter().find(|(field, _)| field.name == name)?;
            column.1.as_ref().map(|cell| cell.1)
        };
        let text_of = |name: &str| place_of(name).map(|place| self.sources.text(place).trim());
        let factors = match (text_of("size"), text_of("epochs")) {
            (Some(size), Some(epochs)) => format!("{size} × {epochs} = "),
            _ => String::new(),
        };
        let label = format!("{factors}{} of {}", bytes(&amounts[index]), bytes(total));
        let place = place_of("weight").unwrap_or(row.place);
        self.report(
            Problem::error("pleach::mix::contradiction", title, place, label)
                .help("remove one of the three"),
        );
        None
    }

    /// A table from which no share follows.
    fn report_no_shares(
        &mut self,
        id: NodeId,
        rows: &[(Row, Cells)],
        weights: &[Option<BigRational>],
    ) {
        let lacking = rows
            .iter()
            .zip(weights)
            .find(|(_, weight)| weight.is_none())
            .map(|((row, _), _)| row);
        let (place, name) = match lacking {
            Some(row) => (row.place, row.name.text.clone()),
            None => (self.tree.node(id).place, "mix".to_string()),
        };
        let title = format!("the share of `{name}` does not follow from this table");
        let problem = Problem::error(
            "pleach::mix::share",
            title,
            place,
            "no weight, and no size either",
        );
        self.report(
            problem.help("give every row a `weight`, or every row a `size` (and `epochs`)"),
        );
    }
}

/// One component of the mix.
fn component(row: &Row, cells: &Cells, weight: BigRational, size: Option<BigRational>) -> Share {
    Share {
        name: row.name.text.clone(),
        place: row.place,
        files: texts(cells),
        weight,
        size,
    }
}

/// The number of a column, in base units.
fn number(cells: &Cells, column: &str) -> Option<BigRational> {
    let (_, cell) = cells.iter().find(|(field, _)| field.name == column)?;
    match cell {
        Some((Value::Number(quantity), _)) => Some(quantity.value.clone()),
        _ => None,
    }
}

/// The globs of a row.
fn texts(cells: &Cells) -> Vec<String> {
    let files = cells
        .iter()
        .find(|(field, _)| field.name == "files")
        .and_then(|(_, cell)| cell.as_ref());
    let Some((Value::List(items), _)) = files else {
        return Vec::new();
    };
    items
        .iter()
        .filter_map(|item| {
            if let Value::Text(text) = item {
                Some(text.clone())
            } else {
                None
            }
        })
        .collect()
}

/// A share for a reader: `66.67%`.
fn percent(share: &BigRational) -> String {
    let hundred = share * whole(100);
    if hundred.is_zero() {
        "0%".to_string()
    } else {
        format!("{}%", show(&hundred))
    }
}
