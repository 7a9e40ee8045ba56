//! The pass before parsing: braces are made to balance, so that a half-typed file still gives a tree.
//!
//! On imbalance the blame goes to the opener whose block's indentation is first undercut; the missing `}` is inserted there, on a line of its
//! own. A closer that closes nothing is blanked. [`Balanced`] maps places of the patched text back to what the user wrote.

use super::budget::over_budget;
use crate::problem::{Problem, take};
use crate::syntax::Place;

/// Deeper nesting than any reader follows, and than the parser's stack should be asked to hold.
const DEEPEST: usize = 64;

/// The longest line, and the most `if` in one: what the parser's stack is asked to hold is bounded by them.
const LONGEST_LINE: usize = 10_000;
const MOST_CHOICES: usize = 32;

/// What is put where a closing brace is missing.
const MISSING: &str = "}\n";

/// Text whose braces balance.
pub struct Balanced {
    /// The patched text.
    pub text: String,
    /// Where [`MISSING`] was inserted, in bytes of the patched text, ascending.
    inserted: Vec<usize>,
    /// The length of the original.
    length: usize,
}

impl Balanced {
    /// The byte of the original text that a byte of the patched text stands for.
    pub fn original(&self, offset: usize) -> usize {
        let before = self.inserted.partition_point(|inserted| *inserted < offset);
        offset
            .saturating_sub(before * MISSING.len())
            .min(self.length)
    }
}

/// An opening brace that waits for its closer.
struct Opener {
    offset: usize,
    indent: usize,
    line: usize,
}

/// A brace or bracket outside strings and comments, or the first such character of a line.
#[derive(Clone, Copy)]
struct Mark {
    offset: usize,
    character: char,
    line: usize,
    indent: usize,
    first: bool,
}

/// Balances the braces of a file.
pub fn balance(file: usize, text: &str, problems: &mut Vec<Problem>) -> Balanced {
    let marks = scan(text);
    let refused = over_budget(file, text)
        .or_else(|| too_long(file, text))
        .or_else(|| too_deep(file, &marks));
    if let Some(problem) = refused {
        problems.push(problem);
        return Balanced {
            text: String::new(),
            inserted: Vec::new(),
            length: text.len(),
        };
    }
    let braces = marks
        .iter()
        .filter(|mark| matches!(mark.character, '{' | '}'));
    let depth = braces.map(|mark| if mark.character == '{' { 1 } else { -1 });
    let (total, lowest) = depth.fold((0i64, 0i64), |(total, lowest), step| {
        (total + step, lowest.min(total + step))
    });
    if total == 0 && lowest == 0 {
        return Balanced {
            text: text.to_string(),
            inserted: Vec::new(),
            length: text.len(),
        };
    }
    repair(file, text, &marks, total, problems)
}

/// The problem of the first line that is out of bounds.
fn too_long(file: usize, text: &str) -> Option<Problem> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let choices = line
            .split_whitespace()
            .filter(|word| word.trim_start_matches('(') == "if")
            .count();
        if line.len() > LONGEST_LINE || choices > MOST_CHOICES {
            let end = start
                + line
                    .trim_end()
                    .char_indices()
                    .nth(20)
                    .map_or(line.trim_end().len(), |(end, _)| end);
            let title = "this line is longer than a reader follows";
            let label =
                format!("more than {LONGEST_LINE} bytes, or more than {MOST_CHOICES} times `if`");
            let place = Place { file, start, end };
            let problem = Problem::error("pleach::syntax::long", title, place, label);
            return Some(problem.help("name its parts: `let part = …`"));
        }
        start += line.len();
    }
    None
}

/// The problem of the first character that opens one level too many.
fn too_deep(file: usize, marks: &[Mark]) -> Option<Problem> {
    let mut depth = 0usize;
    let deepest = marks.iter().find(|mark| {
        match mark.character {
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > DEEPEST
    })?;
    let (start, end) = (deepest.offset, deepest.offset + 1);
    let title = format!("this is nested more than {DEEPEST} levels deep");
    Some(Problem::error(
        "pleach::syntax::depth",
        title,
        Place { file, start, end },
        "one level too many",
    ))
}

/// Inserts missing closers and blanks those that close nothing.
fn repair(
    file: usize,
    text: &str,
    marks: &[Mark],
    total: i64,
    problems: &mut Vec<Problem>,
) -> Balanced {
    let mut open: Vec<Opener> = Vec::new();
    let mut missing: Vec<usize> = Vec::new();
    let mut blank: Vec<usize> = Vec::new();
    let mut excess = -total;
    for mark in marks {
        let line_start = mark.offset - mark.indent;
        if mark.first && total > 0 {
            while open.last().is_some_and(|opener| undercut(opener, mark)) {
                let opener = open.pop().expect("there is a last opener");
                take(unclosed(file, opener.offset), problems);
                missing.push(line_start);
            }
        }
        match mark.character {
            '{' => open.push(Opener {
                offset: mark.offset,
                indent: mark.indent,
                line: mark.line,
            }),
            '}' if open.is_empty() || excess > 0 && stray(&open, mark) => {
                excess -= 1;
                blank.push(mark.offset);
                take(closes_nothing(file, mark.offset), problems);
            }
            '}' => {
                open.pop();
            }
            _ => {}
        }
    }
    for opener in open.iter().rev() {
        take(unclosed(file, opener.offset), problems);
        missing.push(text.len());
    }
    patch(text, &missing, &blank)
}

/// Whether a line cannot be inside the opener's block: it is not indented more, and does not close it.
fn undercut(opener: &Opener, mark: &Mark) -> bool {
    let closes = mark.character == '}';
    mark.line > opener.line
        && if closes {
            mark.indent < opener.indent
        } else {
            mark.indent <= opener.indent
        }
}

/// Whether a closer is not where that of its block would be: on a line of its own, indented as the block's first.
fn stray(open: &[Opener], mark: &Mark) -> bool {
    open.last().is_none_or(|opener| {
        mark.line > opener.line && (!mark.first || mark.indent > opener.indent)
    })
}

/// The text with the missing closers in and the stray ones out.
fn patch(text: &str, missing: &[usize], blank: &[usize]) -> Balanced {
    let mut patched = String::with_capacity(text.len() + missing.len() * MISSING.len() + 1);
    let mut inserted = Vec::new();
    let mut missing = missing.iter().peekable();
    for (offset, character) in text.char_indices() {
        while missing.next_if(|next| **next <= offset).is_some() {
            inserted.push(patched.len());
            patched.push_str(MISSING);
        }
        patched.push(if blank.binary_search(&offset).is_ok() {
            ' '
        } else {
            character
        });
    }
    if missing.peek().is_some() && !patched.ends_with('\n') {
        patched.push('\n');
    }
    for _ in missing {
        inserted.push(patched.len());
        patched.push_str(MISSING);
    }
    Balanced {
        text: patched,
        inserted,
        length: text.len(),
    }
}

/// All marks of a text.
fn scan(text: &str) -> Vec<Mark> {
    let mut marks = Vec::new();
    let mut offset = 0;
    for (line, content) in text.split_inclusive('\n').enumerate() {
        scan_line(content, offset, line, &mut marks);
        offset += content.len();
    }
    marks
}

/// The marks of one line: strings end with it, a comment takes the rest of it.
fn scan_line(content: &str, start: usize, line: usize, marks: &mut Vec<Mark>) {
    let indent = content.len() - content.trim_start_matches([' ', '\t']).len();
    let mut in_string = false;
    let mut escaped = false;
    for (index, character) in content.char_indices() {
        let first = index == indent;
        let mark = Mark {
            offset: start + index,
            character,
            line,
            indent,
            first,
        };
        if in_string {
            in_string = escaped || character != '"';
            escaped = !escaped && character == '\\';
            continue;
        }
        match character {
            '#' => return,
            '"' => in_string = true,
            '{' | '}' | '[' | ']' | '(' | ')' => marks.push(mark),
            _ if first && !character.is_whitespace() => marks.push(mark),
            _ => {}
        }
    }
}

/// An opener without a closer.
fn unclosed(file: usize, offset: usize) -> Problem {
    let place = Place {
        file,
        start: offset,
        end: offset + 1,
    };
    let problem = Problem::error(
        "pleach::syntax::unclosed",
        "this `{` is never closed",
        place,
        "no `}` belongs to it",
    );
    problem.help("add a `}` where the block ends")
}

/// A closer without an opener.
fn closes_nothing(file: usize, offset: usize) -> Problem {
    let place = Place {
        file,
        start: offset,
        end: offset + 1,
    };
    Problem::error(
        "pleach::syntax::unopened",
        "this `}` closes nothing",
        place,
        "no `{` belongs to it",
    )
    .help("remove it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_undercut_opener_is_blamed() {
        let text = "experiment a {\n  train {\n    clip = 1.0\n  plan { tp = 2 }\n}\n";
        let mut problems = Vec::new();
        let balanced = balance(0, text, &mut problems);
        assert_eq!(problems.len(), 1);
        assert_eq!(
            &text[..problems[0].at.place.start],
            "experiment a {\n  train "
        );
        assert!(balanced.text.contains("clip = 1.0\n}\n  plan"));
        let plan = balanced.text.find("plan").unwrap();
        assert!(text[balanced.original(plan)..].starts_with("plan"));
    }

    #[test]
    fn braces_in_strings_and_comments_do_not_count() {
        let text = "dataset d { source = \"{\" }  # }\n";
        let mut problems = Vec::new();
        assert_eq!(balance(0, text, &mut problems).text, text);
        assert!(problems.is_empty());
    }
}
