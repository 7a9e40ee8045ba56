//! The lines that were laid out so far: code is appended to the last one, comments find their column at the end.

use super::{COMMENTS, WIDEST};

/// One line.
#[derive(Default)]
struct Line {
    /// Indentation and code.
    code: String,
    /// The comment behind it.
    comment: String,
}

/// All lines.
#[derive(Default)]
pub struct Lines {
    done: Vec<Line>,
}

impl Lines {
    /// Begins a line so many brackets deep.
    pub fn begin(&mut self, depth: usize) {
        self.done.push(Line {
            code: "  ".repeat(depth),
            comment: String::new(),
        });
    }

    /// Leaves a line empty.
    pub fn blank(&mut self) {
        self.done.push(Line::default());
    }

    /// Whether there is none yet.
    pub fn is_empty(&self) -> bool {
        self.done.is_empty()
    }

    /// Appends to the last line.
    pub fn put(&mut self, text: &str) {
        let last = self.done.last_mut().expect("a line was begun");
        last.code.push_str(text);
    }

    /// Appends spaces up to a column, one at least.
    pub fn put_to(&mut self, column: usize) {
        let missing = column.saturating_sub(self.width()).max(1);
        self.put(&" ".repeat(missing));
    }

    /// Columns of the last line's code.
    pub fn width(&self) -> usize {
        self.done.last().map_or(0, |line| line.code.chars().count())
    }

    /// Puts a comment behind the last line.
    pub fn comment(&mut self, text: &str) {
        let last = self.done.last_mut().expect("a line was begun");
        last.comment = text.to_string();
    }

    /// The text.
    pub fn finish(self) -> String {
        let columns = comment_columns(&self.done);
        let mut text = String::new();
        for (line, column) in self.done.iter().zip(columns) {
            text.push_str(line.code.trim_end());
            if !line.comment.is_empty() {
                let width = line.code.chars().count();
                text.push_str(&" ".repeat(column.saturating_sub(width)));
                text.push_str(&line.comment);
            }
            text.push('\n');
        }
        text
    }
}

/// The column of each line's comment.
fn comment_columns(lines: &[Line]) -> Vec<usize> {
    let width = |line: &Line| line.code.chars().count();
    let sticks_out = |line: &Line| !line.comment.is_empty() && width(line) >= COMMENTS;
    let mut columns = vec![COMMENTS; lines.len()];
    let mut start = 0;
    for neighbours in lines.chunk_by(|one, next| sticks_out(one) == sticks_out(next)) {
        let end = start + neighbours.len();
        if sticks_out(&neighbours[0]) {
            let fair = neighbours
                .iter()
                .map(width)
                .filter(|width| *width <= WIDEST);
            let longest = fair.max().unwrap_or(0);
            for (column, line) in columns[start..end].iter_mut().zip(neighbours) {
                *column = longest.max(width(line)) + 3;
            }
        }
        start = end;
    }
    columns
}
