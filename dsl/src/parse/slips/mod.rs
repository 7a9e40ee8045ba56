//! Words for a line the grammar could not read: first the slips people make, then what the grammar expected, in words.
//!
//! Each slip in [`known`] is a small function from the line to a finding; the first that recognises the line speaks. All of them see one line only, so a
//! mistake is reported once and at its own place.

mod expected;
mod known;

use super::{Grammar, Rule};
use crate::problem::Problem;
use crate::syntax::{KEYWORDS, Path, Place};
use expected::expected;

/// The code of a number that a comma cuts in two: what stands before the comma is half of it.
pub const THOUSANDS: &str = "pleach::syntax::thousands";

/// Where the broken line stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// Outside all blocks.
    Top,
    /// In a block.
    Block,
    /// In a table.
    Row,
}

/// What is wrong with a line: bytes of it, a title, a label and a help.
struct Finding {
    from: usize,
    to: usize,
    code: &'static str,
    title: String,
    label: String,
    help: String,
}

/// The problem of a broken line.
pub fn diagnose(text: &str, place: Place, position: Where) -> Problem {
    let line = without_comment(&text[place.start..place.end]);
    let slips: &[fn(&str) -> Option<Finding>] = match position {
        Where::Top => &[
            known::open_string,
            known::foreign_comment,
            known::unquoted_import,
            known::unknown_kind,
        ],
        Where::Row => &[known::open_string, known::empty_cell],
        Where::Block => &[
            known::open_string,
            known::foreign_comment,
            known::single_quotes,
            known::colon,
            known::double_equals,
            known::spelling,
            known::bare_condition,
            known::missing_value,
            known::bare_block,
            known::bare_table,
            known::dotted_section,
            known::missing_comma,
            known::touching_unit,
            known::unquoted_text,
            known::keyword_as_name,
            known::foreign_logic,
            known::leading_point,
            known::apart_magnitude,
            known::long_unit,
        ],
    };
    let before = &text[..place.start];
    let found = known::thousands(before, line).filter(|_| position == Where::Block);
    let found = found.or_else(|| slips.iter().find_map(|slip| slip(line)));
    let finding = found.unwrap_or_else(|| expected(line, position));
    let place = Place {
        file: place.file,
        start: place.start + finding.from,
        end: place.start + finding.to.max(finding.from + 1),
    };
    let problem = Problem::error(finding.code, finding.title, place, finding.label);
    if finding.help.is_empty() {
        problem
    } else {
        problem.help(finding.help)
    }
}

/// The path a broken line begins with, so that the field is not reported as missing as well.
pub fn leading_path(text: &str, place: Place) -> Option<Path> {
    let line = &text[place.start..place.end];
    let end = path_length(line);
    let path = || Path {
        text: line[..end].to_string(),
        place: Place {
            end: place.start + end,
            ..place
        },
    };
    (end > 0 && !KEYWORDS.contains(&&line[..end])).then(path)
}

/// The length of the dotted name a text begins with.
fn path_length(text: &str) -> usize {
    let inside =
        |character: char| character.is_ascii_alphanumeric() || character == '_' || character == '.';
    let end = text
        .find(|character| !inside(character))
        .unwrap_or(text.len());
    if text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
        end
    } else {
        0
    }
}

/// The line up to its comment, without spaces at its end.
fn without_comment(line: &str) -> &str {
    let mut in_string = false;
    let mut end = line.len();
    for (index, character) in line.char_indices() {
        match character {
            '"' => in_string = !in_string,
            '\n' => in_string = false,
            '#' if !in_string && !line[index..].contains('\n') => {
                end = index;
                break;
            }
            _ => {}
        }
    }
    line[..end].trim_end()
}

/// A finding about some bytes of the line.
fn finding(
    range: std::ops::Range<usize>,
    code: &'static str,
    title: &str,
    label: &str,
    help: String,
) -> Option<Finding> {
    Some(Finding {
        from: range.start,
        to: range.end,
        code,
        title: title.to_string(),
        label: label.to_string(),
        help,
    })
}
