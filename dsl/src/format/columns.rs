//! Columns: of `=` in a run of entries, of neighbouring one-line declarations, of the rows of a list.

use std::collections::BTreeMap;

use super::layout::Layout;
use super::{WIDEST, WIDEST_CELL};
use crate::parse::{Node, Shape};

/// What alignment asks of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aligned {
    /// Nothing.
    No,
    /// Its `=` or `in` stands so far behind its beginning.
    Sign(usize),
    /// It is this text.
    Text(String),
}

/// A name in front of its `=` or `in`.
struct Named {
    index: usize,
    /// Columns of the name.
    width: usize,
    /// Where the sign was written, in columns from the entry's beginning.
    written: usize,
}

impl Layout<'_> {
    /// What alignment asks of each of these entries.
    pub fn aligned(&self, entries: &[Node], depth: usize) -> Vec<Aligned> {
        let mut aligned = vec![Aligned::No; entries.len()];
        let mut run: Vec<Named> = Vec::new();
        let mut kind = None;
        for (index, entry) in entries.iter().enumerate() {
            let own = run_kind(entry);
            let apart = index > 0 && self.is_apart(entries[index - 1].end, entry.start);
            if own.is_none() || own != kind || apart {
                settle(std::mem::take(&mut run), &mut aligned);
            }
            kind = own;
            if own.is_some() {
                run.push(self.named(index, entry));
            }
            if self.is_open(entry, depth) {
                settle(std::mem::take(&mut run), &mut aligned);
            }
        }
        settle(run, &mut aligned);
        self.align_declarations(entries, depth, &mut aligned);
        aligned
    }

    fn named(&self, index: usize, entry: &Node) -> Named {
        let name = &entry.children[usize::from(entry.shape == Shape::Constant)];
        let columns = |to: usize| self.text[entry.start..to].chars().count();
        let sign = match entry.shape {
            Shape::Domain => entry.children[1].start,
            _ => name.end + self.text[name.end..].find('=').unwrap_or(0),
        };
        let width = match entry.shape {
            Shape::Constant => "let ".len() + name.text(self.text).chars().count(),
            _ => columns(name.end),
        };
        Named {
            index,
            width,
            written: columns(sign),
        }
    }

    /// Whether a blank line stands between two bytes, or one that had nothing but a comma.
    fn is_apart(&self, from: usize, to: usize) -> bool {
        let mut blank = false;
        let mut lines = self.text[from..to].split('\n').skip(1).peekable();
        let nothing = |sign: char| sign.is_whitespace() || sign == ',';
        while let Some(line) = lines.next() {
            blank |= lines.peek().is_some() && line.chars().all(nothing);
        }
        blank
    }

    /// Whether an entry will take several lines.
    fn is_open(&self, entry: &Node, depth: usize) -> bool {
        self.holds_open(entry) || self.is_wide(entry, depth) && can_open(entry)
    }

    /// Lines neighbouring one-line declarations up that set the same fields.
    fn align_declarations(&self, entries: &[Node], depth: usize, aligned: &mut [Aligned]) {
        let rows: Vec<Option<Vec<String>>> = entries
            .iter()
            .map(|entry| self.declaration_cells(entry, depth))
            .collect();
        let mut start = 0;
        while start < entries.len() {
            let mut end = start + 1;
            while end < entries.len() && self.are_alike(entries, &rows, end) {
                end += 1;
            }
            let group: Vec<&Vec<String>> = rows[start..end].iter().flatten().collect();
            if group.len() > 1 {
                let lines = line_up(&group);
                let fits = lines.iter().all(|line| line.chars().count() <= WIDEST);
                for (aligned, line) in aligned[start..end]
                    .iter_mut()
                    .zip(lines.into_iter().filter(|_| fits))
                {
                    *aligned = Aligned::Text(line);
                }
            }
            start = end;
        }
    }

    /// Whether a declaration belongs in a row with the one before.
    fn are_alike(&self, entries: &[Node], rows: &[Option<Vec<String>>], index: usize) -> bool {
        let (before, entry) = (&entries[index - 1], &entries[index]);
        let fields = |node: &Node| -> Vec<&str> {
            let block = node
                .children
                .last()
                .map_or(&[][..], |block| &block.children);
            block
                .iter()
                .map(|entry| entry.children[0].text(self.text))
                .collect()
        };
        let gap = &self.text[before.end..entry.start];
        rows[index - 1].is_some()
            && rows[index].is_some()
            && before.children[0].text(self.text) == entry.children[0].text(self.text)
            && before.children.len() == entry.children.len()
            && fields(before) == fields(entry)
            && gap.matches('\n').count() == 1
    }

    /// The pieces of a one-line declaration that only sets fields.
    fn declaration_cells(&self, entry: &Node, depth: usize) -> Option<Vec<String>> {
        let (block, head) = entry.children.split_last()?;
        let sets = |entry: &Node| matches!(entry.shape, Shape::Binding | Shape::Domain);
        let simple = entry.shape == Shape::Declaration
            && !block.children.is_empty()
            && block.children.iter().all(sets)
            && !self.is_open(entry, depth);
        if !simple {
            return None;
        }
        let mut cells = vec![format!("{} {}", self.flat(&head[0]), self.flat(&head[1]))];
        if let [extends, base] = &head[2..] {
            cells.push(format!("{} {}", self.flat(extends), self.flat(base)));
        }
        let last = block.children.len() - 1;
        cells.extend(block.children.iter().enumerate().map(|(index, entry)| {
            let open = if index == 0 { "{ " } else { "" };
            let close = if index == last { " }" } else { "," };
            format!("{open}{}{close}", self.flat(entry))
        }));
        Some(cells)
    }

    /// The items of a list as they share lines: the author's rows, or as many as fit.
    pub fn rows<'node>(&self, list: &'node Node, depth: usize) -> Vec<Vec<&'node Node>> {
        let items = &list.children;
        if !list.text(self.text).contains('\n') {
            let widest = items.iter().map(|item| self.flat_width(item)).max();
            let each = widest.unwrap_or(0) + ", ".len();
            let fitting = ((WIDEST + 1 - 2 * depth.min(WIDEST / 4)) / each).max(1);
            return items
                .chunks(fitting)
                .map(|row| row.iter().collect())
                .collect();
        }
        let mut rows: Vec<Vec<&Node>> = Vec::new();
        let mut end = list.start;
        for item in items {
            let same_line = !self.text[end..item.start].contains('\n');
            match rows.last_mut().filter(|_| same_line) {
                Some(row) => row.push(item),
                None => rows.push(vec![item]),
            }
            end = item.end;
        }
        rows
    }

    /// The widths of the columns of a list's rows; none where they are no columns.
    pub fn item_widths(&self, rows: &[Vec<&Node>]) -> Vec<usize> {
        let [first, .., last] = rows else {
            return Vec::new();
        };
        let even = rows[..rows.len() - 1]
            .iter()
            .all(|row| row.len() == first.len());
        let flat = rows.iter().flatten().all(|item| !self.holds_open(item));
        if !even || last.len() > first.len() || !flat {
            return Vec::new();
        }
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|item| self.flat_width(item)).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..first.len()).map(width).collect();
        let fits = widths.iter().all(|width| *width <= WIDEST_CELL);
        if fits { widths } else { Vec::new() }
    }
}

/// Whether there is something in it that can be opened.
fn can_open(node: &Node) -> bool {
    let brackets = matches!(node.shape, Shape::Block | Shape::List);
    brackets && !node.children.is_empty() || node.children.iter().any(can_open)
}

/// The sort of run an entry can be in; none for laws, wishes, sections and tables.
fn run_kind(entry: &Node) -> Option<Shape> {
    let value = entry.children.last()?;
    let is_table = matches!(value.children.as_slice(), [only] if only.shape == Shape::Table);
    match entry.shape {
        Shape::Binding | Shape::Domain if !is_table => Some(Shape::Binding),
        Shape::Constant if !is_table => Some(Shape::Constant),
        _ => None,
    }
}

/// Gives the names of one run their column.
fn settle(run: Vec<Named>, aligned: &mut [Aligned]) {
    let widths = run.iter().map(|named| named.width);
    let longest = widths
        .filter(|width| *width <= WIDEST_CELL)
        .max()
        .unwrap_or(0);
    let column = authors_column(&run).unwrap_or(longest + 1);
    for named in run {
        aligned[named.index] = Aligned::Sign(column);
    }
}

/// The column that the author lined a run up at: most signs stand there, some with spaces on purpose; longer names stand one space off.
fn authors_column(run: &[Named]) -> Option<usize> {
    let column = most_common(run.iter().map(|named| named.written))?;
    let at = |column: usize| run.iter().filter(move |named| named.written == column);
    let on_purpose = at(column).any(|named| named.width + 1 < column);
    let others = || run.iter().filter(|named| named.written != column);
    let stick_out = others().all(|named| named.width >= column && named.written == named.width + 1);
    let most = at(column).count() > others().count() && run.len() > 1;
    (on_purpose && stick_out && most).then_some(column)
}

/// Rows of equally many cells, each column as wide as its widest; the last is not padded.
fn line_up(rows: &[&Vec<String>]) -> Vec<String> {
    let count = |text: &str| text.chars().count();
    let mut lines: Vec<String> = vec![String::new(); rows.len()];
    let columns = rows.first().map_or(0, |row| row.len());
    for column in 0..columns {
        let width = rows
            .iter()
            .map(|row| count(&row[column]))
            .max()
            .unwrap_or(0);
        for (line, row) in lines.iter_mut().zip(rows) {
            line.push_str(&row[column]);
            if column + 1 < columns {
                line.push_str(&" ".repeat(width - count(&row[column]) + 1));
            }
        }
    }
    lines
}

/// The number that comes most often; the largest of those that do.
pub fn most_common(numbers: impl Iterator<Item = usize>) -> Option<usize> {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for number in numbers {
        *counts.entry(number).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.map(|(number, _)| number)
}
