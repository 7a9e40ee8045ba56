//! Words for a line the grammar could not read: first the slips people make, then what the grammar expected, in words.
//!
//! Each slip is a small function from the line to a finding; the first that recognises the line speaks. All of them see one line only, so a
//! mistake is reported once and at its own place.

use pest::Parser;
use pest::error::{ErrorVariant, InputLocation};

use super::{Grammar, Rule};
use crate::names::nearest;
use crate::problem::Problem;
use crate::syntax::{Path, Place};

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

/// Words that begin a declaration, for suggestions.
const KINDS: [&str; 6] = [
    "experiment",
    "sweep",
    "model",
    "dataset",
    "cluster",
    "schedule",
];

/// Words that cannot name a field.
const KEYWORDS: [&str; 21] = [
    "import", "as", "extends", "let", "require", "because", "minimize", "maximize", "within",
    "then", "if", "else", "in", "of", "and", "or", "not", "table", "true", "false", "auto",
];

/// The problem of a broken line.
pub fn diagnose(text: &str, place: Place, position: Where) -> Problem {
    let line = without_comment(&text[place.start..place.end]);
    let slips: &[fn(&str) -> Option<Finding>] = match position {
        Where::Top => &[open_string, foreign_comment, unquoted_import, unknown_kind],
        Where::Row => &[open_string, empty_cell],
        Where::Block => &[
            open_string,
            foreign_comment,
            single_quotes,
            colon,
            double_equals,
            spelling,
            bare_condition,
            missing_value,
            missing_comma,
            touching_unit,
            unquoted_text,
            keyword_as_name,
            foreign_logic,
            leading_point,
            long_unit,
        ],
    };
    let before = &text[..place.start];
    let found = thousands(before, line).filter(|_| position == Where::Block);
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

/// `source = "hf:x` without its end.
fn open_string(line: &str) -> Option<Finding> {
    let first = line.lines().next().unwrap_or_default();
    let quotes = first.matches('"').count() - first.matches("\\\"").count();
    let last = first.rfind('"').filter(|_| quotes % 2 == 1)?;
    finding(
        last..first.len(),
        "pleach::syntax::string",
        "this string is not closed",
        "it ends with the line",
        "add `\"` at its end".into(),
    )
}

/// `//` or `;`.
fn foreign_comment(line: &str) -> Option<Finding> {
    if line.ends_with(';') {
        let at = line.len() - 1;
        return finding(
            at..line.len(),
            "pleach::syntax::semicolon",
            "lines end without `;`",
            "not needed",
            "remove it".into(),
        );
    }
    let at = line.find("//").filter(|at| !line[..*at].contains('"'))?;
    finding(
        at..line.len(),
        "pleach::syntax::comment",
        "a comment begins with `#`",
        "not `//`",
        "write `#` instead of `//`".into(),
    )
}

/// `'gpt2'`.
fn single_quotes(line: &str) -> Option<Finding> {
    let first = line.find('\'')?;
    let last = line.rfind('\'').filter(|last| *last > first)?;
    let help = format!("write \"{}\"", &line[first + 1..last]);
    finding(
        first..last + 1,
        "pleach::syntax::quotes",
        "a string stands in double quotes",
        "single quotes",
        help,
    )
}

/// The `000` of `vocab = 50,000`: what stands before the comma is part of the number.
fn thousands(before: &str, line: &str) -> Option<Finding> {
    let digits = line.len()
        - line
            .trim_start_matches(|digit: char| digit.is_ascii_digit())
            .len();
    let front = before.strip_suffix(',')?;
    let first = front
        .rsplit(|character: char| !character.is_ascii_digit() && character != '_')
        .next()?;
    if digits != 3
        || first.is_empty()
        || line[digits..].starts_with(|next: char| next.is_ascii_alphanumeric())
    {
        return None;
    }
    let help = format!("write `{first}_{}`", &line[..digits]);
    finding(
        0..digits,
        "pleach::syntax::thousands",
        "a `,` ends an entry, so this number is cut in two",
        "not a field",
        help,
    )
}

/// `layers: 44`.
fn colon(line: &str) -> Option<Finding> {
    let end = path_length(line);
    let rest = line.get(end..).filter(|_| end > 0)?;
    let at = end + (rest.len() - rest.trim_start().len());
    let sign = [":=", "=>", ":"]
        .into_iter()
        .find(|sign| line[at..].starts_with(sign))?;
    let value = line[at + sign.len()..].trim();
    let help = format!(
        "write `{} = {}`",
        &line[..end],
        if value.is_empty() { "…" } else { value }
    );
    finding(
        at..at + sign.len(),
        "pleach::syntax::assignment",
        "a value is set by `=`",
        &format!("this is `{sign}`"),
        help,
    )
}

/// `heads == 64`.
fn double_equals(line: &str) -> Option<Finding> {
    let end = path_length(line);
    let rest = line.get(end..).filter(|_| end > 0)?;
    let at = end + (rest.len() - rest.trim_start().len());
    let value = line[at..].strip_prefix("==")?.trim();
    let help = format!(
        "write `{0} = {value}` to set it, or `require {0} == {value}` to demand it",
        &line[..end]
    );
    finding(
        at..at + 2,
        "pleach::syntax::assignment",
        "a value is set by `=`",
        "`==` compares",
        help,
    )
}

/// `minimise time`, `requires …`.
fn spelling(line: &str) -> Option<Finding> {
    let end = path_length(line);
    let (word, rest) = line.split_at(end);
    let operand = rest
        .trim_start()
        .starts_with(|next: char| next.is_ascii_alphabetic() || next == '(');
    let meant = match word {
        "minimise" | "min" => "minimize",
        "maximise" | "max" => "maximize",
        "assert" | "ensure" | "constraint" => "require",
        "const" | "var" | "set" => "let",
        _ => nearest(word, ["minimize", "maximize", "require", "let"].into_iter())
            .filter(|meant| *meant != word)?,
    };
    let title = format!("there is no statement `{word}`");
    let found = finding(
        0..end,
        "pleach::syntax::statement",
        &title,
        "not a word of the language",
        format!("did you mean `{meant}`?"),
    );
    found.filter(|_| operand)
}

/// `tp <= 4`.
fn bare_condition(line: &str) -> Option<Finding> {
    let end = path_length(line);
    let first = line
        .get(..end)
        .filter(|word| end > 0 && !KEYWORDS.contains(word));
    first?;
    let parsed = Grammar::parse(Rule::only_expr, line).is_ok();
    let sign = ["<=", ">=", "!=", "<", ">"]
        .into_iter()
        .find(|sign| line.contains(sign))
        .filter(|_| parsed)?;
    let title = "a condition needs `require`";
    finding(
        0..line.len(),
        "pleach::syntax::condition",
        title,
        &format!("`{sign}` compares"),
        format!("write `require {}`", single_spaced(line)),
    )
}

/// `layers =`.
fn missing_value(line: &str) -> Option<Finding> {
    let name = line.strip_suffix('=').map(str::trim_end)?;
    let end = path_length(name);
    let title = format!("`{name}` has no value");
    let help = format!("write `{name} = …`, or remove the line to keep the default");
    finding(
        0..end,
        "pleach::syntax::value",
        &title,
        "nothing follows the `=`",
        help,
    )
    .filter(|_| end == name.len() && end > 0)
}

/// `eps = 1e-8 weight_decay = 0.01`.
fn missing_comma(line: &str) -> Option<Finding> {
    let second = line
        .match_indices('=')
        .map(|(at, _)| at)
        .filter(|at| is_single_equals(line, *at))
        .nth(1)?;
    let before = line[..second].trim_end();
    let start = before.rfind(|character: char| character.is_whitespace())? + 1;
    let first = line[..start].trim_end();
    if path_length(&line[start..]) != before.len() - start
        || Grammar::parse(Rule::probe, first).is_err()
    {
        return None;
    }
    let help = format!("write `{first}, {}`, or begin a new line", &line[start..]);
    finding(
        start..before.len(),
        "pleach::syntax::comma",
        "a comma or a line end is missing between two entries",
        "the next entry begins here",
        help,
    )
}

/// Whether the `=` there is not part of `==`, `<=`, `>=` or `!=`.
fn is_single_equals(line: &str, at: usize) -> bool {
    !line[at + 1..].starts_with('=') && !line[..at].ends_with(['=', '<', '>', '!'])
}

/// `2048tokens`.
fn touching_unit(line: &str) -> Option<Finding> {
    let start = line.find('=')? + 1;
    let words = line[start..]
        .split([' ', ',', '[', ']', '(', ')', '{', '}'])
        .filter(|word| !word.is_empty());
    for word in words {
        let digits =
            word.trim_end_matches(|letter: char| letter.is_ascii_alphabetic() || letter == '/');
        let unit = &word[digits.len()..];
        let number = digits.starts_with(|digit: char| digit.is_ascii_digit())
            && digits.ends_with(|digit: char| digit.is_ascii_digit());
        if number && crate::evaluate::find_unit(unit).is_some() {
            let from = start + line[start..].find(word)?;
            let help = format!("write `{digits} {unit}`");
            let title = "a space stands between a number and its unit";
            return finding(
                from..from + word.len(),
                "pleach::syntax::unit",
                title,
                "they touch",
                help,
            );
        }
    }
    None
}

/// `source = hf:EleutherAI/pile`.
fn unquoted_text(line: &str) -> Option<Finding> {
    let start = line.find('=')? + 1;
    let value = line[start..].trim();
    let bare = !value.contains([' ', '"', '{', '('])
        && value.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/');
    let text = bare && value.contains([':', '/', '-', '@']);
    let from = start + line[start..].find(value)?;
    let help = format!("write \"{value}\"");
    finding(
        from..line.len(),
        "pleach::syntax::quotes",
        "a string stands in double quotes",
        "name or string?",
        help,
    )
    .filter(|_| text)
}

/// `in = 4`.
fn keyword_as_name(line: &str) -> Option<Finding> {
    let end = path_length(line);
    let word = KEYWORDS.into_iter().find(|word| *word == &line[..end])?;
    let rest = line[end..].trim_start();
    let title = format!("`{word}` is a word of the language and cannot name a field");
    finding(
        0..end,
        "pleach::syntax::keyword",
        &title,
        "taken",
        "choose another name".into(),
    )
    .filter(|_| rest.starts_with(['=', '{']))
}

/// `a && b`.
fn foreign_logic(line: &str) -> Option<Finding> {
    let (at, sign, word) = [("&&", "and"), ("||", "or")]
        .into_iter()
        .find_map(|(sign, word)| Some((line.find(sign)?, sign, word)))?;
    let title = format!("`{sign}` is written `{word}`");
    finding(
        at..at + 2,
        "pleach::syntax::logic",
        &title,
        "not an operator",
        format!("write `{word}`"),
    )
}

/// `clip = .5`.
fn leading_point(line: &str) -> Option<Finding> {
    let at = line.find(" .")? + 1;
    let digits = line[at + 1..]
        .chars()
        .take_while(char::is_ascii_digit)
        .count();
    let end = at + 1 + digits;
    let help = format!("write `0{}`", &line[at..end]);
    finding(
        at..end,
        "pleach::syntax::number",
        "a number begins with a digit",
        "begins with a point",
        help,
    )
    .filter(|_| digits > 0)
}

/// `context = 2048 tokens tokens`.
fn long_unit(line: &str) -> Option<Finding> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [.., unit, last] = words.as_slice() else {
        return None;
    };
    crate::evaluate::find_unit(unit)?;
    let start = line.len() - last.len();
    let rest = line[..start].trim_end();
    let word = last
        .chars()
        .all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == '/');
    if !word || Grammar::parse(Rule::probe, rest).is_err() {
        return None;
    }
    let title = format!("`{last}` does not belong to this value");
    finding(
        start..line.len(),
        "pleach::syntax::extra",
        &title,
        &format!("the value ends with `{unit}`"),
        format!("write `{}`", single_spaced(rest)),
    )
}

/// `a | | 3` in a table.
fn empty_cell(line: &str) -> Option<Finding> {
    let cells: Vec<&str> = line.split('|').collect();
    let empty = cells.iter().position(|cell| cell.trim().is_empty())?;
    let at: usize = cells[..empty].iter().map(|cell| cell.len() + 1).sum();
    let help = "write `-` to keep the value of the row above".to_string();
    finding(
        at.min(line.len().saturating_sub(1))..line.len().min(at + 1),
        "pleach::syntax::row",
        "a cell of this row is empty",
        "nothing here",
        help,
    )
}

/// `import presets/clusters.pleach`.
fn unquoted_import(line: &str) -> Option<Finding> {
    let path = line.strip_prefix("import")?.trim();
    let help = format!("write `import \"{}\"`", path.trim_matches(['\'', '"']));
    let from = line.len() - path.len();
    finding(
        from..line.len(),
        "pleach::syntax::quotes",
        "an import names its file in double quotes",
        "not in quotes",
        help,
    )
    .filter(|_| !path.starts_with('"') && !path.is_empty())
}

/// `experimnt gpt { … }`.
fn unknown_kind(line: &str) -> Option<Finding> {
    let end = path_length(line);
    let word = &line[..end];
    if end == 0 || KINDS.contains(&word) || word == "import" {
        return None;
    }
    let title = format!("a file holds imports and declarations, and `{word}` begins neither");
    let help = match nearest(word, KINDS.into_iter()) {
        Some(kind) => format!("did you mean `{kind}`?"),
        None => format!(
            "declarations begin with {}",
            KINDS.map(|kind| format!("`{kind}`")).join(", ")
        ),
    };
    finding(
        0..end,
        "pleach::syntax::declaration",
        &title,
        "not the beginning of a declaration",
        help,
    )
}

/// No slip was recognised: say where the grammar stopped and what it wanted, in words.
fn expected(line: &str, position: Where) -> Finding {
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
    let rest = &line[at..];
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
        Rule::expr | Rule::quantity | Rule::term => "a value",
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

/// A line without the spaces that align it with others.
fn single_spaced(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}
