//! The names that may stand at a cursor.

use super::context::{Around, Cursor, around, cursor, without_entry};
use super::names::{
    Completion, Role, declarations, fields, figures, functions, keywords, units, values,
};
use crate::loader::{Failure, Loader, SHIPPED};
use crate::resolve::{Scope, read_files};
use crate::schema::{EXPERIMENT, Section, Type};
use crate::syntax::Kind;

/// Words that begin an entry.
const BEGINNINGS: [&str; 4] = ["let", "require", "minimize", "maximize"];

/// A loader that knows one text better.
struct Overlay<'loader> {
    root: &'loader str,
    text: &'loader str,
    loader: &'loader dyn Loader,
}

impl Loader for Overlay<'_> {
    fn load(&self, path: &str) -> Result<String, Failure> {
        if path == self.root {
            Ok(self.text.to_string())
        } else {
            self.loader.load(path)
        }
    }
}

/// The names that may stand at a byte of a text, whole or not: those that begin with what is typed there, in the order of the schema.
///
/// `root` is the name of the text as the loader knows it; what it imports is asked of the loader.
pub fn complete(root: &str, text: &str, offset: usize, loader: &dyn Loader) -> Vec<Completion> {
    let offset = (0..=offset.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    let Some(cursor) = cursor(text, offset) else {
        return Vec::new();
    };
    if cursor.in_string {
        return shipped(&cursor);
    }
    let rest = without_entry(text, &cursor);
    let overlay = Overlay {
        root,
        text: &rest,
        loader,
    };
    let files = read_files(root, &[], &overlay, &mut Vec::new()).scopes;
    let names = match around(&files[0].tree, cursor.entry.start) {
        None => at_top(&cursor, &files),
        Some(around) => in_block(&cursor, &around, &files),
    };
    fitting(names, cursor.word)
}

/// Those that go on from what is typed, each once.
fn fitting(names: Vec<Completion>, word: &str) -> Vec<Completion> {
    let mut fitting: Vec<Completion> = Vec::new();
    for name in names {
        let known = fitting.iter().any(|known| known.name == name.name);
        if name.name.starts_with(word) && !known {
            fitting.push(name);
        }
    }
    fitting
}

/// In the string of an import: the files that ship.
fn shipped(cursor: &Cursor) -> Vec<Completion> {
    let Some(("import", typed)) = cursor.before.split_once(char::is_whitespace) else {
        return Vec::new();
    };
    let typed = format!("{}{}", typed.trim().trim_start_matches('"'), cursor.word);
    let names = SHIPPED.iter().filter(|(name, _)| name.starts_with(&typed));
    names
        .map(|(name, _)| Completion::new(*name, Role::File, "ships with pleach"))
        .collect()
}

/// Outside of all blocks.
fn at_top(cursor: &Cursor, files: &[Scope]) -> Vec<Completion> {
    let words: Vec<&str> = cursor.before.split_whitespace().collect();
    let kind = |word: &str| Kind::ALL.into_iter().find(|kind| kind.word() == word);
    match words.as_slice() {
        [] => {
            let kinds = Kind::ALL.map(Kind::word);
            [keywords(&kinds), keywords(&["import"])].concat()
        }
        [word, _] if kind(word).is_some() => keywords(&["extends"]),
        [word, _, "extends"] => kind(word).map_or_else(Vec::new, |kind| bases(kind, files)),
        ["import", path] if path.ends_with('"') => keywords(&["as"]),
        _ => Vec::new(),
    }
}

/// What a declaration can extend.
fn bases(kind: Kind, files: &[Scope]) -> Vec<Completion> {
    let mut names = declarations(kind, files);
    if kind == Kind::Sweep {
        names.extend(declarations(Kind::Experiment, files));
    }
    names
}

/// Inside a declaration.
fn in_block(cursor: &Cursor, around: &Around, files: &[Scope]) -> Vec<Completion> {
    if let Some((columns, rows)) = &around.table {
        return in_table(cursor, around, (columns, rows), files);
    }
    let words: Vec<&str> = cursor.before.split_whitespace().collect();
    let sign = words.iter().position(|word| matches!(*word, "=" | "in"));
    let glued = cursor.before.split_once('=').map(|(path, _)| path.trim());
    let path = match (sign, glued) {
        (_, Some(path)) => Some(path),
        (Some(at), None) => Some(words[at.saturating_sub(1)]),
        _ => None,
    };
    let law = words
        .first()
        .is_some_and(|word| BEGINNINGS[1..].contains(word));
    if cursor.before.is_empty() && around.list.is_none() {
        return beginnings(cursor, around);
    }
    if path.is_none() && !law && around.list.is_none() {
        let names_only = words.len() == 1 && words[0] != "let";
        return if names_only {
            keywords(&["in"])
        } else {
            Vec::new()
        };
    }
    let field = match (path, around.list) {
        (Some(path), _) if !path.starts_with("let ") => around.field(path),
        (None, Some(list)) => list,
        _ => None,
    };
    if ends_with_number(cursor.before) {
        return [units(field), behind_operand(&words)].concat();
    }
    if ends_with_operand(cursor.before) {
        return behind_operand(&words);
    }
    let mut names = field.map_or_else(Vec::new, |field| values(field, files));
    names.extend(operands(cursor, around));
    names
}

/// What begins an entry: fields of the section, and words of the language.
fn beginnings(cursor: &Cursor, around: &Around) -> Vec<Completion> {
    if let Some((outer, _)) = cursor.word.rsplit_once('.') {
        return dotted(outer, &around.inner(outer, None));
    }
    let innermost = around.sections.last().map_or(&[][..], Vec::as_slice);
    let mut names = fields(innermost, &around.taken);
    names.extend(keywords(&BEGINNINGS));
    names
}

/// Fields behind a dotted name.
fn dotted(outer: &str, sections: &[&'static Section]) -> Vec<Completion> {
    let mut names = fields(sections, &[]);
    for name in &mut names {
        name.name = format!("{outer}.{}", name.name);
    }
    names
}

/// What a formula may mention.
fn operands(cursor: &Cursor, around: &Around) -> Vec<Completion> {
    if let Some((outer, _)) = cursor.word.rsplit_once('.') {
        let mut inner = around.inner(outer, None);
        if inner.is_empty() {
            inner = Around::of_experiment(around.file).inner(outer, None);
        }
        let mut names = dotted(outer, &inner);
        names.extend(figures());
        return names;
    }
    let mut names = Vec::new();
    for sections in around.sections.iter().rev() {
        names.extend(fields(sections, &[]));
    }
    let innermost = around.sections.last().map_or(&[][..], Vec::as_slice);
    if innermost.iter().any(|section| section.name == "plan") {
        names.extend(figures());
        names.extend(fields(&[&EXPERIMENT], &[]));
    }
    names.extend(functions());
    names.extend(keywords(&["if", "not", "table"]));
    names
}

/// What goes on behind a value.
fn behind_operand(words: &[&str]) -> Vec<Completion> {
    let mut names = match words.first() {
        Some(&"require") => keywords(&["because"]),
        Some(&("minimize" | "maximize")) => keywords(&["within", "then"]),
        _ => Vec::new(),
    };
    if words.contains(&"if") {
        names.extend(keywords(&["then", "else"]));
    }
    names.extend(keywords(&["of", "and", "or"]));
    names
}

/// Whether a number stands last, so that a unit may follow.
fn ends_with_number(before: &str) -> bool {
    let last = before
        .rsplit(|character: char| character.is_whitespace() || "=([,|".contains(character))
        .next()
        .unwrap_or_default();
    last.starts_with(|first: char| first.is_ascii_digit()) && !last.ends_with('%')
}

/// Whether a value stands last, so that no other may follow.
fn ends_with_operand(before: &str) -> bool {
    let closes = |last: char| last.is_alphanumeric() || "_)]}\"%".contains(last);
    let last_word = before.split_whitespace().next_back().unwrap_or_default();
    let goes_on = [
        "require", "minimize", "maximize", "in", "of", "and", "or", "not", "if", "then", "else",
    ];
    before.ends_with(closes) && !goes_on.contains(&last_word)
}

/// In a table: columns in its header, what the column takes below.
fn in_table(
    cursor: &Cursor,
    around: &Around,
    (columns, rows): (&[String], &[&'static Section]),
    files: &[Scope],
) -> Vec<Completion> {
    let column = cursor.before.matches('|').count();
    let cell = cursor.before.rsplit('|').next().unwrap_or_default();
    if columns.is_empty() {
        if let Some((outer, _)) = cursor.word.rsplit_once('.') {
            return dotted(outer, &around.inner(outer, None));
        }
        return fields(rows, &[]);
    }
    let inner = |path: &str| {
        let in_rows = rows.iter().find_map(|section| section.field(path));
        in_rows.or_else(|| around.field(path))
    };
    let field = columns.get(column).and_then(|path| inner(path));
    match field {
        _ if column == 0 => Vec::new(),
        field if ends_with_number(cell.trim()) => units(field),
        Some(field) if cell.trim().is_empty() => match field.holds {
            Type::Table(_) | Type::Rows(_) | Type::Section(_) => Vec::new(),
            _ => values(field, files),
        },
        _ => Vec::new(),
    }
}
