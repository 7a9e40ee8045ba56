//! The slips themselves: each from a line to a finding, or nothing.

use pest::Parser;

use super::{Finding, Grammar, Rule, finding, path_length};
use crate::names::nearest;
use crate::syntax::{KEYWORDS, Kind};

/// `source = "hf:x` without its end.
pub(super) fn open_string(line: &str) -> Option<Finding> {
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
pub(super) fn foreign_comment(line: &str) -> Option<Finding> {
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
pub(super) fn single_quotes(line: &str) -> Option<Finding> {
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
pub(super) fn thousands(before: &str, line: &str) -> Option<Finding> {
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
        super::THOUSANDS,
        "a `,` ends an entry, so this number is cut in two",
        "not a field",
        help,
    )
}

/// `layers: 44`.
pub(super) fn colon(line: &str) -> Option<Finding> {
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
pub(super) fn double_equals(line: &str) -> Option<Finding> {
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
pub(super) fn spelling(line: &str) -> Option<Finding> {
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
pub(super) fn bare_condition(line: &str) -> Option<Finding> {
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

/// `train = {`: a block without the kind that it changes.
pub(super) fn bare_block(line: &str) -> Option<Finding> {
    let end = path_length(line);
    let name = line.get(..end).filter(|_| end > 0)?;
    let rest = line[end..].trim_start();
    let block = rest.strip_prefix('=')?.trim_start();
    let at = line.len() - block.len();
    let title = "a block changes something, and nothing stands before this one";
    let help = format!("write `{name} {{ … }}` to edit it, or `{name} = KIND {{ … }}`");
    finding(
        at..at + 1,
        "pleach::syntax::value",
        title,
        "a block of what?",
        help,
    )
    .filter(|_| block.starts_with('{'))
}

/// `train.lr { … }`.
pub(super) fn dotted_section(line: &str) -> Option<Finding> {
    let end = path_length(line);
    let (outer, inner) = line.get(..end)?.split_once('.')?;
    finding(
        0..end,
        "pleach::syntax::value",
        "a section is opened by its own name",
        "a path",
        format!("write `{outer} {{ {inner} {{ … }} }}`"),
    )
    .filter(|_| line[end..].trim_start().starts_with('{'))
}

/// `table {` with a header and nothing under it, or with a single column.
pub(super) fn bare_table(line: &str) -> Option<Finding> {
    let (front, rest) = line.split_once('{')?;
    let body = rest.trim_end().strip_suffix('}')?;
    let lines: Vec<&str> = body
        .lines()
        .map(str::trim)
        .filter(|row| !row.is_empty())
        .collect();
    let (header, rows) = lines.split_first()?;
    let at = front.len() + 1 + rest.find(header)?;
    let range = at..at + header.len();
    let table = front.trim_end().ends_with("table") && !header.contains(['{', '}', '=']);
    let found = match (header.contains('|'), rows) {
        (true, []) => finding(
            range,
            "pleach::syntax::row",
            "this table has a header and no row",
            "names of columns",
            "add a row under it: a name, then `|` and a value for each column".into(),
        ),
        (false, _) => finding(
            range,
            "pleach::syntax::row",
            "this table has one column, so its rows say nothing",
            "only their names",
            format!("add what they set: `{header} | …`"),
        ),
        _ => None,
    };
    found.filter(|_| table)
}

/// `layers =`.
pub(super) fn missing_value(line: &str) -> Option<Finding> {
    let name = line.strip_suffix('=').map(str::trim_end)?;
    let end = path_length(name);
    let title = format!("`{name}` has no value");
    let help = format!("write `{name} = …`, or remove the line");
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
pub(super) fn missing_comma(line: &str) -> Option<Finding> {
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
pub(super) fn touching_unit(line: &str) -> Option<Finding> {
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
pub(super) fn unquoted_text(line: &str) -> Option<Finding> {
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
pub(super) fn keyword_as_name(line: &str) -> Option<Finding> {
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
pub(super) fn foreign_logic(line: &str) -> Option<Finding> {
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
pub(super) fn leading_point(line: &str) -> Option<Finding> {
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

/// `300 B tokens`, `10 % of peak`.
pub(super) fn apart_magnitude(line: &str) -> Option<Finding> {
    let mut at = 0;
    for number in line.split(' ') {
        let after = at + number.len();
        let rest = line.get(after..)?.trim_start();
        let word = rest.split([' ', ',', ')', ']', '}']).next()?;
        let digit = |letter: char| letter.is_ascii_digit();
        let behind = rest[word.len()..].trim_start();
        let magnitude = MAGNITUDES.contains(&word)
            && behind.starts_with(|next: char| next.is_ascii_alphabetic());
        let percent = word == "%" && behind.starts_with("of ");
        let bare = number.trim_start_matches(['(', '[', '{']);
        if bare.starts_with(digit) && bare.ends_with(digit) && (magnitude || percent) {
            let from = after - bare.len();
            let title = format!("`{word}` touches its number");
            return finding(
                from..line.len() - rest.len() + word.len(),
                "pleach::syntax::number",
                &title,
                "a space between them",
                format!("write `{bare}{word}`"),
            );
        }
        at = after + 1;
    }
    None
}

/// What multiplies the number that it touches.
const MAGNITUDES: [&str; 6] = ["K", "M", "B", "T", "Ki", "Mi"];

/// `context = 2048 tokens tokens`.
pub(super) fn long_unit(line: &str) -> Option<Finding> {
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
pub(super) fn empty_cell(line: &str) -> Option<Finding> {
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
pub(super) fn unquoted_import(line: &str) -> Option<Finding> {
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
pub(super) fn unknown_kind(line: &str) -> Option<Finding> {
    let end = path_length(line);
    let word = &line[..end];
    let kinds = Kind::ALL.map(Kind::word);
    if end == 0 || kinds.contains(&word) || word == "import" {
        return None;
    }
    let title = format!("a file holds imports and declarations, and `{word}` begins neither");
    let help = match nearest(word, kinds.into_iter()) {
        Some(kind) => format!("did you mean `{kind}`?"),
        None => format!(
            "declarations begin with {}",
            kinds.map(|kind| format!("`{kind}`")).join(", ")
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

/// A line without the spaces that align it with others.
fn single_spaced(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}
