//! No slip was recognised: where the grammar stopped, and what it wanted there, in the reader's words.

use pest::Parser;
use pest::error::{ErrorVariant, InputLocation};

use super::{Finding, Grammar, Rule, Where};

/// No slip was recognised: say where the grammar stopped and what it wanted, in words.
pub(super) fn expected(line: &str, position: Where) -> Finding {
    if position == Where::Row {
        let title = "this row of the table cannot be read".to_string();
        let label = "a row is a name, then `|` and a value for each column".to_string();
        let to = line.len();
        return Finding {
            from: 0,
            to,
            code: "pleach::syntax::unexpected",
            title,
            label,
            help: String::new(),
        };
    }
    let (at, wanted) = match Grammar::parse(Rule::probe, line) {
        Err(error) => {
            let (InputLocation::Pos(at) | InputLocation::Span((at, _))) = error.location;
            let wanted = match error.variant {
                ErrorVariant::ParsingError { positives, .. } => in_words(&positives),
                ErrorVariant::CustomError { .. } => Vec::new(),
            };
            (at.min(line.len()), wanted)
        }
        Ok(_) => (0, Vec::new()),
    };
    let rest = line[at..].trim_start();
    let at = line.len() - rest.len();
    let word = rest.split_whitespace().next().unwrap_or_default();
    let title = match word {
        "" => "this line ends too early".to_string(),
        word => format!("`{}` does not fit here", shortened(word)),
    };
    let label = if wanted.is_empty() {
        "not understood from here on".to_string()
    } else {
        format!("expected {}", wanted.join(" or "))
    };
    let from = if word.is_empty() {
        at.saturating_sub(last_character(line))
    } else {
        at
    };
    Finding {
        from,
        to: at + word.len(),
        code: "pleach::syntax::unexpected",
        title,
        label,
        help: String::new(),
    }
}

/// Bytes of the last character.
fn last_character(line: &str) -> usize {
    line.chars().last().map_or(0, char::len_utf8)
}

/// A word that fits a title.
fn shortened(word: &str) -> String {
    let mut short: String = word.chars().take(24).collect();
    if short.len() < word.len() {
        short.push('…');
    }
    short
}

/// What the grammar wanted, in the reader's words.
fn in_words(rules: &[Rule]) -> Vec<&'static str> {
    let mut words: Vec<&'static str> = rules.iter().filter_map(|rule| word_of(*rule)).collect();
    words.sort_unstable();
    words.dedup();
    if words.len() > 4 { Vec::new() } else { words }
}

/// The words for one rule; none for what a reader need not hear of.
fn word_of(rule: Rule) -> Option<&'static str> {
    Some(match rule {
        Rule::expr | Rule::quantity | Rule::term | Rule::paren => "a value",
        Rule::block => "a block `{ … }`",
        Rule::name | Rule::path => "a name",
        Rule::string => "a string in double quotes",
        Rule::cmp
        | Rule::range
        | Rule::add
        | Rule::mul
        | Rule::kw_or
        | Rule::kw_and
        | Rule::kw_of => "an operator",
        Rule::kw_then => "`then`",
        Rule::kw_else => "`else`",
        Rule::percent => "a percentage",
        Rule::EOI => "the end of the line",
        Rule::import | Rule::declaration => return None,
        Rule::kw_because => "`because`",
        Rule::kw_within => "`within`",
        _ => return None,
    })
}
