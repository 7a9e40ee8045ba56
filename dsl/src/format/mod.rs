//! One canonical form of a text: spaces, line ends and columns are chosen here, words and comments are the author's.
//!
//! In comes a text, out comes the same text laid out, or its problems where it cannot be read; then nothing is touched. What was printed is read again
//! and compared word for word, so that laying out never changes a meaning, and what is laid out is laid out already.
//!
//! The rules, in the order a reader meets them (`tests/spec/format.md` shows each):
//!
//! 1. **Lines.** Two spaces for each open bracket. A block or list that was written over several lines keeps to them, an entry to each line and the items of a
//!    list in the author's rows; one that was written on one line stays there while its entry fits [`WIDEST`] columns, and is opened otherwise. What
//!    stands in parentheses is joined, unless it holds comments or does not fit. Commas only separate what shares a line. Lines end with a line feed, the last one too.
//! 2. **Blank lines** are the author's, at most one in a row, none behind `{` or before `}`.
//! 3. **Spaces.** One between words and around operators; none around `..`, behind a sign, inside `( )` and `[ ]`.
//! 4. **Columns of `=` and `in`.** Neighbouring entries form a run; a blank line, a section, a law, a wish, a change between fields and `let`, or a table ends it,
//!    and a value over several lines is its last. In a run `=` and `in` stand one space behind the longest name. Where most of them share another
//!    column already, with spaces put there on purpose, and names that reach it stand one space off, that column is kept: people line up the short names
//!    and let a long one stick out.
//! 5. **Tables** are lined up at `|`. Here too an author's wider columns are kept, with at most one cell out of step. A column of decimals in one unit with
//!    equally many places lines up at the point.
//! 6. **Rows of a list** with equally many items are lined up; so are neighbouring one-line declarations that set the same fields. Whatever is wider than
//!    [`WIDEST_CELL`] sticks out of its column, there as in runs and tables.
//! 7. **Comments.** One on its own line is indented as its neighbours. One behind code stands in column [`COMMENTS`] + 1; where the code reaches that far, three
//!    spaces behind the longest of the neighbouring lines that do. A `because` that was set apart stands in that column, any other one space behind its law.

mod columns;
mod flat;
mod layout;
mod lines;
mod table;

use crate::parse::{Concrete, Node, Shape, parse_again, parse_written};
use crate::render::Problems;
use crate::sources::Sources;
use layout::Layout;

/// The widest a line may become before a block or list on it is opened; spaces that only line things up do not count.
const WIDEST: usize = 120;

/// The column of comments behind code, from 0.
const COMMENTS: usize = 45;

/// Names and cells wider than this stick out of their column, so that one of them does not push all others aside.
const WIDEST_CELL: usize = 80;

/// Lays a text out; `name` is what its problems call it.
///
/// # Errors
/// The problems of a text that cannot be read.
pub fn format(name: &str, text: &str) -> Result<String, Problems> {
    let lines = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut sources = Sources::default();
    sources.add(name, lines.as_str(), false);
    let mut problems = Vec::new();
    let Some(written) = parse_written(&lines, &mut problems) else {
        return Err(Problems::new(problems, sources));
    };
    let formatted = Layout::new(&lines, &written).file();
    let Some(read) = parse_again(&formatted, &mut problems) else {
        // Lined up, a line can become longer than the longest.
        let mut sources = Sources::default();
        sources.add(name, formatted, false);
        return Err(Problems::new(problems, sources));
    };
    assert!(
        same(&written, &lines, &read, &formatted),
        "laying out changes no word"
    );
    Ok(formatted)
}

/// Whether two texts have the same words in the same structure, and the same comments.
fn same(left: &Concrete, left_text: &str, right: &Concrete, right_text: &str) -> bool {
    let comments = |of: &Concrete, text: &str| {
        let comments = of.comments.iter();
        comments
            .map(|comment| text[comment.start..comment.end].to_string())
            .collect::<Vec<_>>()
    };
    same_node(&left.root, left_text, &right.root, right_text)
        && comments(left, left_text) == comments(right, right_text)
}

fn same_node(left: &Node, left_text: &str, right: &Node, right_text: &str) -> bool {
    left.shape == right.shape
        && left.children.len() == right.children.len()
        && (left.shape != Shape::Leaf || left.text(left_text) == right.text(right_text))
        && left
            .children
            .iter()
            .zip(&right.children)
            .all(|(left, right)| same_node(left, left_text, right, right_text))
}
