//! What a file may cost, before anybody pays: its words and signs are counted in one pass over its bytes, and a file of too many is refused.
//!
//! Time and memory of everything behind this pass grow with the number of words and signs, so that a bound on them bounds both. Comments and spaces are free;
//! 20,000 lines of specs that people write have between 50,000 and 180,000.

use crate::problem::Problem;
use crate::quantity::show;
use crate::quantity::whole;
use crate::syntax::Place;

/// The most words and signs of a file.
pub const MOST_SIGNS: usize = 250_000;

/// The problem of a file that has more words and signs than are read.
pub fn over_budget(file: usize, text: &str) -> Option<Problem> {
    let signs: usize = text.lines().map(signs_of).sum();
    if signs <= MOST_SIGNS {
        return None;
    }
    let (start, end) = (0, text.chars().next().map_or(0, char::len_utf8));
    let number = |count: usize| show(&whole(count as u64));
    let title = format!("this file has {} words and signs", number(signs));
    let label = format!("at most {} are read", number(MOST_SIGNS));
    let problem = Problem::error(
        "pleach::syntax::size",
        title,
        Place { file, start, end },
        label,
    );
    Some(problem.help("split it into files, and `import` them"))
}

/// The words and signs of a line: a run of letters, digits, `_` and `.` counts once, a string too, a comment not at all.
fn signs_of(line: &str) -> usize {
    let mut signs = 0;
    let mut in_word = false;
    let mut bytes = line.bytes();
    while let Some(byte) = bytes.next() {
        let word = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
        match byte {
            b'#' => break,
            b' ' | b'\t' => {}
            // Of a wide character only the first byte counts.
            0x80..=0xbf => {}
            _ if word && in_word => {}
            b'"' => {
                signs += 1;
                while let Some(byte) = bytes.next().filter(|byte| *byte != b'"') {
                    if byte == b'\\' {
                        bytes.next();
                    }
                }
            }
            _ => signs += 1,
        }
        in_word = word;
    }
    signs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_signs_count_and_the_rest_does_not() {
        assert_eq!(signs_of("  model.layers = 12  # twelve = 12"), 3);
        assert_eq!(signs_of(r#"a = "b # \" c" # "d""#), 3);
        assert_eq!(signs_of("x = [1, 2.5e3 * (4)]"), 11);
        assert_eq!(signs_of("ä\" never closed = 1"), 2);
        assert_eq!(signs_of(""), 0);
    }

    #[test]
    fn one_too_many_is_refused() {
        let most = "a b\n".repeat(MOST_SIGNS / 2);
        assert_eq!(over_budget(0, &most), None);
        let problem = over_budget(0, &format!("{most},")).unwrap();
        assert!(problem.title.contains("250,001"));
    }
}
