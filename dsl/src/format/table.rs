//! Tables: rows lined up at `|`.

use super::columns::most_common;
use super::layout::Layout;
use super::{WIDEST, WIDEST_CELL};
use crate::parse::{Node, Shape};

/// A row whose cells each stand on one line.
struct Cells {
    /// The text of each cell.
    texts: Vec<String>,
    /// Columns that each cell but the last took in the source, up to its `|`.
    written: Vec<usize>,
}

/// The cell that is out of step, by row and column.
type Apart = Option<(usize, usize)>;

/// How wide columns are.
struct Widths {
    /// Each column, without the space in front of `|`.
    columns: Vec<usize>,
    /// The cell that is out of step, by row and column.
    apart: Apart,
    /// For columns that line up at the point: how wide their numbers are.
    decimals: Vec<Option<usize>>,
}

impl Layout<'_> {
    /// A table; its brace is on the line that was begun.
    pub fn table(&mut self, node: &Node, depth: usize) {
        let rows = &node.children[1..];
        let cells: Vec<Option<Cells>> = rows.iter().map(|row| self.cells(row)).collect();
        let plain: Vec<&Cells> = cells.iter().flatten().collect();
        let widths = widths(&plain);
        let keyword = &node.children[0];
        let brace = self.text[keyword.end..].find('{').unwrap_or(0);
        self.lines.put("table {");
        let mut at = keyword.end + brace + 1;
        let mut number = 0;
        for (index, (row, cells)) in rows.iter().zip(&cells).enumerate() {
            self.next_line(at, row.start, index == 0, depth + 1);
            match cells {
                Some(cells) => {
                    self.lines.put(&line(cells, number, &widths));
                    number += 1;
                }
                None => self.open_row(row, depth + 1),
            }
            at = row.end;
        }
        self.between(at, node.end - 1, false, depth + 1);
        self.lines.begin(depth);
        self.lines.put("}");
    }

    /// The cells of a row; none where a cell cannot stand on one line.
    fn cells(&self, row: &Node) -> Option<Cells> {
        let open = self.has_comments(row) || holds_table(row);
        if open || self.holds_open(row) && self.flat_width(row) > WIDEST {
            return None;
        }
        let texts = row.children.iter().map(|cell| self.flat(cell)).collect();
        let mut from = row.start;
        let written = row.children.windows(2).map(|pair| {
            let bar = pair[0].end + self.text[pair[0].end..].find('|').unwrap_or(0);
            let columns = self.text[from..bar].chars().count();
            from = bar + 1;
            columns
        });
        let written = written.collect();
        Some(Cells { texts, written })
    }

    /// A row with comments inside: nothing is lined up.
    fn open_row(&mut self, row: &Node, depth: usize) {
        for (index, cell) in row.children.iter().enumerate() {
            if index > 0 {
                self.lines.put(" | ");
            }
            self.node(cell, false, depth);
        }
    }
}

fn holds_table(node: &Node) -> bool {
    node.shape == Shape::Table || node.children.iter().any(holds_table)
}

fn count(text: &str) -> usize {
    text.chars().count()
}

/// One row.
fn line(cells: &Cells, number: usize, widths: &Widths) -> String {
    let mut line = String::new();
    let last = cells.texts.len() - 1;
    for (column, text) in cells.texts.iter().enumerate() {
        let decimal = widths.decimals.get(column).copied().flatten();
        let in_front = decimal.filter(|_| decimal_of(text).is_some());
        let text = format!("{text:>width$}", width = in_front.unwrap_or(0));
        let apart = widths.apart == Some((number, column));
        let width = widths.columns.get(column).filter(|_| !apart);
        if column == last {
            line.push_str(&text);
        } else {
            let width = width.copied().unwrap_or(0);
            line.push_str(&format!("{text:<width$} | "));
        }
    }
    line
}

/// The author's columns where they are in step, else as wide as the widest cell.
fn widths(rows: &[&Cells]) -> Widths {
    let most = rows.iter().map(|row| row.texts.len()).max().unwrap_or(0);
    let decimals: Vec<Option<usize>> = (0..most)
        .map(|column| decimal_width(rows, column))
        .collect();
    if let Some((columns, apart)) = authors_widths(rows, most) {
        return Widths {
            columns,
            apart,
            decimals,
        };
    }
    let widest = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.texts.get(column));
        let fair = cells
            .map(|text| count(text))
            .filter(|width| *width <= WIDEST_CELL);
        fair.max().unwrap_or(0)
    };
    Widths {
        columns: (0..most).map(widest).collect(),
        apart: None,
        decimals,
    }
}

/// The author's columns: each cell takes what most in its column take, but for one at most that has a single space behind it, in a row that is
/// lined up otherwise.
fn authors_widths(rows: &[&Cells], most: usize) -> Option<(Vec<usize>, Apart)> {
    if rows.iter().any(|row| row.texts.len() != most) {
        return None;
    }
    let mut apart = None;
    let mut columns = Vec::new();
    for column in 0..most.saturating_sub(1) {
        let taken = |row: &Cells| row.written[column];
        let usual = most_common(rows.iter().map(|row| taken(row)))?;
        let spaces = 1 + usize::from(column > 0);
        for (index, row) in rows.iter().enumerate() {
            let needed = count(&row.texts[column]) + spaces;
            let in_step = taken(row) == usual && needed <= usual;
            let alone = taken(row) == needed && needed < usual && apart.is_none();
            match (in_step, alone && is_lined_up(row, column)) {
                (true, _) => {}
                (false, true) => apart = Some((index, column)),
                (false, false) => return None,
            }
        }
        columns.push(usual - spaces);
    }
    columns.push(0);
    Some((columns, apart))
}

/// Whether some cell of the row, but for one, has spaces behind it on purpose.
fn is_lined_up(row: &Cells, except: usize) -> bool {
    (0..row.written.len()).any(|column| {
        let needed = count(&row.texts[column]) + 1 + usize::from(column > 0);
        column != except && row.written[column] > needed
    })
}

/// The width of a column's numbers if they are decimals of one unit with equally many places.
fn decimal_width(rows: &[&Cells], column: usize) -> Option<usize> {
    let cells: Vec<&String> = rows
        .iter()
        .skip(1)
        .filter_map(|row| row.texts.get(column))
        .filter(|text| *text != "-")
        .collect();
    let (places, unit) = decimal_of(cells.first()?)?;
    let alike = |text: &&String| decimal_of(text) == Some((places, unit));
    cells
        .iter()
        .all(alike)
        .then(|| cells.iter().map(|text| count(text)).max())
        .flatten()
        .filter(|width| *width <= WIDEST_CELL)
}

/// The places behind the point and the unit of a plain decimal.
fn decimal_of(text: &str) -> Option<(usize, &str)> {
    let digits = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'_')
    };
    let (before, behind) = text.split_once('.')?;
    let end = behind
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(behind.len());
    let (places, unit) = behind.split_at(end);
    let plain = !before.is_empty() && digits(before.trim_start_matches('-')) && !places.is_empty();
    let unit_fits =
        unit.is_empty() || unit == "%" || unit.starts_with(' ') && !unit[1..].contains(' ');
    (plain && unit_fits).then_some((places.len(), unit))
}
