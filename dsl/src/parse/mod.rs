//! Text to tree: a string in, a [`File`] and problems out. Parsing never fails.
//!
//! Four steps: [`budget`] refuses a file of too many words, [`braces`] makes the braces balance, the pest grammar in `grammars/experiment.pest` gives pairs, [`build`] turns them into the
//! tree of [`crate::syntax`]. What the grammar calls broken goes to [`slips`], which knows what people usually meant. Nothing outside this
//! module sees pest, so another parser can take its place.

mod braces;
mod budget;
mod build;
mod concrete;
mod slips;

use std::collections::BTreeMap;

use pest::Parser;
use pest::iterators::Pairs;

use crate::problem::Problem;
use crate::syntax::{Expression, ExpressionKind, File, Place};
use braces::{Balanced, balance};
use build::Builder;

use concrete::concrete;

pub(crate) use concrete::{Concrete, Node, Shape};

/// The generated parser.
mod grammar {
    #![allow(missing_docs)]

    /// Reads `grammars/experiment.pest`.
    #[derive(pest_derive::Parser)]
    #[grammar = "../../grammars/experiment.pest"]
    pub struct Grammar;
}

use grammar::{Grammar, Rule};

/// Parses a file. `file` is its number in the sources, for the places.
pub fn parse(file: usize, text: &str, problems: &mut Vec<Problem>) -> File {
    parse_pairs(file, text, problems, |_| ())
}

/// Reads a text with its comments and spellings; none where it has problems.
pub(crate) fn parse_written(text: &str, problems: &mut Vec<Problem>) -> Option<Concrete> {
    let mut written = None;
    parse_pairs(0, text, problems, |pairs| written = concrete(pairs));
    written.filter(|_| problems.is_empty())
}

/// Reads a text again that has the words of one without problems.
pub(crate) fn parse_again(text: &str, problems: &mut Vec<Problem>) -> Option<Concrete> {
    let balanced = balance(0, text, problems);
    let pairs = Grammar::parse(Rule::file, &balanced.text).ok()?;
    concrete(pairs).filter(|_| problems.is_empty())
}

/// Parses a file and shows its pairs to whoever wants more of it than the tree.
fn parse_pairs(
    file: usize,
    text: &str,
    problems: &mut Vec<Problem>,
    see: impl FnOnce(Pairs<Rule>),
) -> File {
    // A return is a line end as well; bytes keep their places.
    let lines = text.replace('\r', "\n");
    let balanced = balance(file, &lines, problems);
    match Grammar::parse(Rule::file, &balanced.text) {
        Ok(pairs) => {
            let refused = balanced.text.is_empty() && !text.is_empty();
            see(pairs.clone());
            let mut file = Builder {
                file,
                text,
                balanced: &balanced,
                problems,
                partial: BTreeMap::new(),
            }
            .file(pairs);
            file.incomplete |= refused;
            file
        }
        Err(_) => {
            let place = Place {
                file,
                start: 0,
                end: text.len().min(1),
            };
            let title = "this file could not be read at all; this is a fault of pleach";
            problems.push(
                Problem::error("pleach::fault", title, place, "from here on")
                    .help("report it with this file"),
            );
            File {
                incomplete: true,
                ..File::default()
            }
        }
    }
}

/// Parses the value of `--set path=value`; `start` is where it begins in the text of that setting.
pub fn parse_setting(
    file: usize,
    text: &str,
    start: usize,
    problems: &mut Vec<Problem>,
) -> Expression {
    let blank: String = text
        .char_indices()
        .map(|(offset, character)| if offset < start { ' ' } else { character })
        .collect();
    let balanced = balance(file, &blank, problems);
    match Grammar::parse(Rule::only_expr, &balanced.text) {
        Ok(pairs) => Builder {
            file,
            text,
            balanced: &balanced,
            problems,
            partial: BTreeMap::new(),
        }
        .only_expression(pairs),
        Err(_) => {
            let place = Place {
                file,
                start,
                end: text.len(),
            };
            let problem = Problem::error(
                "pleach::syntax::setting",
                "the value of `--set` cannot be read",
                place,
                "not a value",
            );
            let help = "write it as in a spec: `--set train.steps=10`, `--set 'train.steps=10 steps'`, `--set 'data.source=\"…\"'`";
            problems.push(problem.help(help));
            Expression {
                kind: ExpressionKind::Broken,
                place,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::syntax::{KEYWORDS, Kind};

    /// The words in quotes of one rule of the grammar.
    fn words_of(rule: &str) -> Vec<&'static str> {
        let grammar = include_str!("../../../grammars/experiment.pest");
        let start = grammar.find(&format!("\n{rule} ")).unwrap();
        let body = grammar[start..].split(" }").next().unwrap();
        body.split('"').skip(1).step_by(2).collect()
    }

    #[test]
    fn lists_of_words_are_those_of_the_grammar() {
        let sorted = |mut words: Vec<&'static str>| {
            words.sort_unstable();
            words
        };
        assert_eq!(sorted(words_of("keyword")), sorted(KEYWORDS.to_vec()));
        assert_eq!(words_of("kind"), Kind::ALL.map(Kind::word));
    }
}
