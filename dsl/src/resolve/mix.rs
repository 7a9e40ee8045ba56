//! The table of a mix: rows to components with exact shares.
//!
//! A share is written as `weight`, or follows from an amount and `epochs`. Writing all three is saying it twice, which is checked. Of several amounts
//! the one that is nearest to what a share counts decides: tokens, then size, then documents.

use num_rational::BigRational;
use num_traits::{One, Signed, Zero};

use super::{Content, NodeId, Resolver};
use crate::evaluate::Value;
use crate::problem::Problem;
use crate::quantity::{Quantity, exact_power, product, quotient, show, show_quantity, sum, whole};
use crate::schema::{Field, Type};
use crate::syntax::{Expression, ExpressionKind, Place, Row, Table};

/// The scaled weights of more components than these are not listed.
const MOST_SCALED: usize = 100;

/// One component.
#[derive(Clone, Debug)]
pub struct Share {
    /// Its name.
    pub name: String,
    /// Its row.
    pub place: Place,
    /// Where it comes from, if not from the dataset's source.
    pub source: Option<String>,
    /// Globs over the source's files.
    pub files: Vec<String>,
    /// Its exact share of the tokens.
    pub weight: BigRational,
    /// Its size in bytes.
    pub size: Option<BigRational>,
    /// Its tokens.
    pub tokens: Option<BigRational>,
    /// Its documents.
    pub documents: Option<BigRational>,
    /// How often it is passed over while the whole mix is passed once.
    pub epochs: BigRational,
    /// How often it may be passed over.
    pub repeat: Option<BigRational>,
}

/// Columns that say how much of a component there is, the nearest to tokens first.
const AMOUNTS: [&str; 3] = ["tokens", "size", "documents"];

/// Shares that follow from amounts.
struct Computed {
    column: &'static str,
    amounts: Vec<BigRational>,
    total: BigRational,
    shares: Vec<BigRational>,
}

/// A row while it is read: a value and its place for each column.
type Cells = Vec<(&'static Field, Option<(Value, Place)>)>;

impl Resolver<'_> {
    /// The components of the experiment's mix; none where something was reported, a single whole where there is no table.
    pub fn mix(&mut self) -> Option<Vec<Share>> {
        self.mix_of("data")
    }

    /// The same of any dataset; read once, since what is reported is told once.
    pub fn mix_of(&mut self, path: &str) -> Option<Vec<Share>> {
        let data = self.tree.find(path)?;
        if let Some(known) = self.mixes.get(&data) {
            return known.clone();
        }
        let mix = self.read_mix(data);
        self.mixes.insert(data, mix.clone());
        mix
    }

    fn read_mix(&mut self, data: NodeId) -> Option<Vec<Share>> {
        let body = self.tree.body(data)?;
        let Some(id) = body.children.get("mix").copied() else {
            let (name, place) = (body.kind.clone(), self.tree.node(data).place);
            return Some(vec![Share {
                name,
                place,
                source: None,
                files: Vec::new(),
                weight: BigRational::one(),
                size: None,
                tokens: None,
                documents: None,
                epochs: BigRational::one(),
                repeat: None,
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
        let value = self.table_value(id, cell)?;
        self.coerce(id, field, value, cell.place, cell.place).ok()
    }

    /// Shares from weights, or from amounts and epochs; both must agree.
    fn shares(&mut self, id: NodeId, rows: &[(Row, Cells)]) -> Option<Vec<Share>> {
        let weights: Vec<Option<BigRational>> = rows
            .iter()
            .map(|(_, cells)| number(cells, "weight"))
            .collect();
        let computed = computed(rows);
        let written: Option<Vec<BigRational>> = weights.iter().cloned().collect();
        let shares = match (written, computed) {
            (Some(written), computed) => {
                self.check_sum(id, rows, &written)?;
                // A weight beside an amount alone says how much there is of what is weighed.
                let said = rows
                    .iter()
                    .any(|(_, cells)| cell(cells, "epochs").is_some());
                if let Some(computed) = computed.filter(|_| said) {
                    self.check_agreement(rows, &written, &computed)?;
                }
                written
            }
            (None, Some(computed)) if weights.iter().all(Option::is_none) => computed.shares,
            _ => {
                self.report_no_shares(id, rows, &weights);
                return None;
            }
        };
        Some(
            rows.iter()
                .zip(shares)
                .map(|((row, cells), weight)| component(row, cells, weight))
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
        let total = added(weights);
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
        if total.is_positive() && weights.len() <= MOST_SCALED {
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

    /// The weight that contradicts its amount × epochs most, by more than the rounding of two decimals: where one is wrong, the others' shares move too.
    fn check_agreement(
        &mut self,
        rows: &[(Row, Cells)],
        written: &[BigRational],
        computed: &Computed,
    ) -> Option<()> {
        let tolerance = exact_power(10, -4) / whole(2);
        let gap = |index: usize| (&written[index] - &computed.shares[index]).abs();
        let relative = |index: &usize| gap(*index) / &computed.shares[*index];
        let worst = (0..rows.len())
            .filter(|index| gap(*index) > tolerance)
            .max_by_key(relative);
        let Some(index) = worst else { return Some(()) };
        let (row, cells) = &rows[index];
        let column = computed.column;
        let amount = |value: &BigRational| match column {
            "size" => show_quantity(&Quantity {
                value: value.clone(),
                ..Quantity::bytes(0)
            }),
            _ => show(value),
        };
        let (weight, follows) = (percent(&written[index]), percent(&computed.shares[index]));
        let title = format!(
            "`{}` has weight {weight}, but its {column} and epochs give {follows}",
            row.name.text
        );
        let place_of = |name: &str| {
            let column = cells.iter().find(|(field, _)| field.name == name)?;
            column.1.as_ref().map(|cell| cell.1)
        };
        let text_of = |name: &str| place_of(name).map(|place| self.sources.text(place).trim());
        let factors = match (text_of(column), text_of("epochs")) {
            (Some(size), Some(epochs)) => format!("{size} × {epochs} = "),
            _ => String::new(),
        };
        let (part, total) = (amount(&computed.amounts[index]), amount(&computed.total));
        let label = format!("{factors}{part} of {total}");
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
            "no weight, and no amount either",
        );
        self.report(problem.help(
            "give every row a `weight`, or every row its `tokens`, `size` or `documents` (and `epochs`)",
        ));
    }
}

/// The shares that follow from the first amount that every row has.
fn computed(rows: &[(Row, Cells)]) -> Option<Computed> {
    let amounts_of = |column: &'static str| {
        let amounts: Option<Vec<BigRational>> = rows
            .iter()
            .map(|(_, cells)| Some(product(&number(cells, column)?, &epochs(cells))))
            .collect();
        Some((column, amounts.filter(|amounts| !amounts.is_empty())?))
    };
    let (column, amounts) = AMOUNTS.into_iter().find_map(amounts_of)?;
    let total = added(&amounts);
    let shares = amounts
        .iter()
        .map(|amount| quotient(amount, &total))
        .collect();
    Some(Computed {
        column,
        amounts,
        total,
        shares,
    })
}

/// One component of the mix.
fn component(row: &Row, cells: &Cells, weight: BigRational) -> Share {
    let source = match cell(cells, "source") {
        Some((Value::Text(source), _)) => Some(source.clone()),
        _ => None,
    };
    Share {
        name: row.name.text.clone(),
        place: row.place,
        source,
        files: texts(cells),
        weight,
        size: number(cells, "size"),
        tokens: number(cells, "tokens"),
        documents: number(cells, "documents"),
        epochs: epochs(cells),
        repeat: number(cells, "repeat"),
    }
}

/// How often a component is passed over while the whole mix is passed once.
fn epochs(cells: &Cells) -> BigRational {
    number(cells, "epochs").unwrap_or_else(BigRational::one)
}

/// The value of a column and its place.
fn cell<'row>(cells: &'row Cells, column: &str) -> Option<&'row (Value, Place)> {
    let (_, cell) = cells.iter().find(|(field, _)| field.name == column)?;
    cell.as_ref()
}

/// The sum of many.
fn added(numbers: &[BigRational]) -> BigRational {
    numbers
        .iter()
        .fold(BigRational::zero(), |total, number| sum(&total, number))
}

/// The number of a column, in base units.
fn number(cells: &Cells, column: &str) -> Option<BigRational> {
    match cell(cells, column)? {
        (Value::Number(quantity), _) => Some(quantity.value.clone()),
        _ => None,
    }
}

/// The globs of a row.
fn texts(cells: &Cells) -> Vec<String> {
    let Some((Value::List(items), _)) = cell(cells, "files") else {
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
