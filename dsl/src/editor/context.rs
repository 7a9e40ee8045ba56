//! Where a cursor stands: the words in front of it, and the sections around it.
//!
//! The entry that is being typed is taken out before the text is parsed, so that the tree around it is whole; what was typed of it is read as words.

use std::ops::Range;

use crate::schema::{CLUSTER, DATASET, EXPERIMENT, FAMILIES, Field, Section, Type};
use crate::syntax::{
    Block, Declaration, Entry, Expression, ExpressionKind, File, Kind, Place, Table,
};

/// The words in front of a cursor.
#[derive(Debug)]
pub struct Cursor<'text> {
    /// The entry it stands in, as far as its line goes.
    pub entry: Range<usize>,
    /// What of the entry stands before the word, without spaces around.
    pub before: &'text str,
    /// The name that was begun, with what it is dotted to; may be empty.
    pub word: &'text str,
    /// Whether it stands in a string.
    pub in_string: bool,
}

/// The words in front of an offset; none in a comment or in a number.
pub fn cursor(text: &str, offset: usize) -> Option<Cursor<'_>> {
    let line_start = text[..offset].rfind('\n').map_or(0, |end| end + 1);
    let mut starts = vec![line_start];
    let mut brackets = vec![0usize];
    let mut in_string = false;
    let mut escaped = false;
    for (at, character) in text[line_start..offset].char_indices() {
        let next = line_start + at + character.len_utf8();
        if in_string {
            in_string = escaped || character != '"';
            escaped = !escaped && character == '\\';
            continue;
        }
        let open = brackets.last_mut().expect("the line is never left");
        match character {
            '#' => return None,
            '"' => in_string = true,
            '[' | '(' => *open += 1,
            ']' | ')' => *open = open.saturating_sub(1),
            '{' => {
                starts.push(next);
                brackets.push(0);
            }
            '}' if starts.len() > 1 => {
                starts.pop();
                brackets.pop();
            }
            ',' if *open == 0 => *starts.last_mut().expect("the line is never left") = next,
            _ => {}
        }
    }
    let from = *starts.last().expect("the line is never left");
    let typed = &text[from..offset];
    let in_name =
        |character: char| character.is_ascii_alphanumeric() || character == '_' || character == '.';
    let word = &typed[typed.trim_end_matches(in_name).len()..];
    if word.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let ends = |character: char| matches!(character, '\n' | '\r' | '}' | ',' | '#');
    let rest = text[offset..].find(ends).unwrap_or(text.len() - offset);
    let start = from + (typed.len() - typed.trim_start().len());
    Some(Cursor {
        entry: start..offset + rest,
        before: typed[..typed.len() - word.len()].trim(),
        word,
        in_string,
    })
}

/// The text without the entry at the cursor. In its place stand two lines that are rows of a table, and nothing anywhere else.
pub fn without_entry(text: &str, cursor: &Cursor) -> String {
    let Range { start, end } = cursor.entry.clone();
    let row = if text[start..end].contains('|') {
        "x | x\nx | x"
    } else {
        ""
    };
    // A space more, so that the place is inside of blocks that are never closed.
    format!("{}{row} {}", &text[..start], &text[end..])
}

/// What is around a place.
#[derive(Debug)]
pub struct Around<'file> {
    /// The tree.
    pub file: &'file File,
    /// The sections that the innermost block may be, for each block from the outermost on.
    pub sections: Vec<Vec<&'static Section>>,
    /// What the innermost block sets already.
    pub taken: Vec<String>,
    /// The field whose list goes on over the cursor's line.
    pub list: Option<Option<&'static Field>>,
    /// The columns of the table around, empty in front of its header, and the section of its rows.
    pub table: Option<(Vec<String>, Vec<&'static Section>)>,
}

/// What is around a place; none outside of all declarations.
pub fn around(file: &File, at: usize) -> Option<Around<'_>> {
    let declaration = file
        .declarations
        .iter()
        .find(|declaration| holds(declaration.block.place, at))?;
    let mut around = Around {
        file,
        sections: Vec::new(),
        taken: Vec::new(),
        list: None,
        table: None,
    };
    around.enter(&declaration.block, declared(declaration), at);
    Some(around)
}

/// Whether a place lies inside of brackets.
fn holds(place: Place, at: usize) -> bool {
    place.start < at && at < place.end
}

/// The sections that a declaration may be.
fn declared(declaration: &Declaration) -> Vec<&'static Section> {
    match declaration.kind {
        Kind::Experiment | Kind::Sweep => vec![&EXPERIMENT],
        Kind::Model => families(declaration.base.as_ref().map(|base| base.text.as_str())),
        Kind::Dataset => vec![&DATASET],
        Kind::Cluster => vec![&CLUSTER],
        Kind::Schedule => Vec::new(),
    }
}

/// The family of a name, or all of them.
fn families(name: Option<&str>) -> Vec<&'static Section> {
    one_of(FAMILIES, name)
}

fn one_of(kinds: &[&'static Section], name: Option<&str>) -> Vec<&'static Section> {
    let found = kinds.iter().find(|kind| Some(kind.name) == name);
    found.map_or_else(|| kinds.to_vec(), |found| vec![*found])
}

impl<'file> Around<'file> {
    /// Goes into a block, and on into what of it holds the place.
    fn enter(&mut self, block: &Block, sections: Vec<&'static Section>, at: usize) {
        self.sections.push(sections);
        self.taken = block.entries.iter().filter_map(name_of).collect();
        for entry in &block.entries {
            match entry {
                Entry::Section { name, block } if holds(block.place, at) => {
                    let inner = self.inner(&name.text, None);
                    return self.enter(block, inner, at);
                }
                Entry::Binding { path, value, .. } | Entry::Domain { path, value, .. } => {
                    self.value(value, Some(&path.text), at);
                }
                Entry::Constant { value, .. } => self.value(value, None, at),
                _ => {}
            }
        }
    }

    /// Goes into the block, list or table of a value that holds the place; `path`: the field the value is for.
    fn value(&mut self, value: &Expression, path: Option<&str>, at: usize) {
        if !holds(value.place, at) {
            return;
        }
        match &value.kind {
            ExpressionKind::Amend(kind, block) if holds(block.place, at) => {
                let inner = match path {
                    Some(path) => self.inner(path, Some(&kind.text)),
                    None => kinds_named(&kind.text),
                };
                self.enter(block, inner, at);
            }
            ExpressionKind::List(items) => {
                self.list = Some(path.and_then(|path| self.field(path)));
                items.iter().for_each(|item| self.value(item, None, at));
            }
            ExpressionKind::Table(table) => self.table(table, path, at),
            ExpressionKind::Broken => {
                if let Some(table) = self.file.partial.get(&value.place) {
                    self.table(table, path, at);
                }
            }
            ExpressionKind::Call(_, arguments) => {
                arguments
                    .iter()
                    .for_each(|inner| self.value(inner, None, at));
            }
            ExpressionKind::Choose(condition, yes, no) => {
                for inner in [condition, yes, no] {
                    self.value(inner, path, at);
                }
            }
            ExpressionKind::Binary(_, _, left, right) => {
                self.value(left, path, at);
                self.value(right, path, at);
            }
            _ => {}
        }
    }

    fn table(&mut self, table: &Table, path: Option<&str>, at: usize) {
        let typed = table.header[0].place.start >= at;
        let columns = table.header.iter().map(|column| column.text.clone());
        let columns = if typed { Vec::new() } else { columns.collect() };
        let field = path.and_then(|path| self.field(path));
        let rows = match field.map(|field| field.holds) {
            Some(Type::Table(section) | Type::Rows(section)) => vec![section],
            _ => vec![&EXPERIMENT],
        };
        self.table = Some((columns, rows));
        let cells = table.rows.iter().flat_map(|row| row.cells.iter().flatten());
        cells.for_each(|cell| self.value(cell, None, at));
    }

    /// As if at the top of an experiment.
    pub fn of_experiment(file: &'file File) -> Self {
        Around {
            file,
            sections: vec![vec![&EXPERIMENT]],
            taken: Vec::new(),
            list: None,
            table: None,
        }
    }

    /// The field of a dotted path, from the innermost block outwards.
    pub fn field(&self, path: &str) -> Option<&'static Field> {
        let mut blocks = self.sections.iter().rev();
        blocks.find_map(|sections| field_of(sections, path))
    }

    /// The sections behind a dotted path; `kind`: the kind or declaration that is named there.
    pub fn inner(&self, path: &str, kind: Option<&str>) -> Vec<&'static Section> {
        match self.field(path) {
            Some(field) => below(field, kind),
            None => kind.map(kinds_named).unwrap_or_default(),
        }
    }
}

/// The name that an entry sets.
fn name_of(entry: &Entry) -> Option<String> {
    match entry {
        Entry::Binding { path, .. } | Entry::Domain { path, .. } => Some(path.text.clone()),
        Entry::Broken { path, .. } => path.as_ref().map(|path| path.text.clone()),
        _ => None,
    }
}

/// The field of a dotted path in one of these sections.
fn field_of(sections: &[&'static Section], path: &str) -> Option<&'static Field> {
    let (first, rest) = match path.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (path, None),
    };
    let field = sections.iter().find_map(|section| section.field(first))?;
    match rest {
        Some(rest) => field_of(&below(field, None), rest),
        None => Some(field),
    }
}

/// The sections that a field holds.
fn below(field: &Field, kind: Option<&str>) -> Vec<&'static Section> {
    match field.holds {
        Type::Section(inner) | Type::Stack(inner) => vec![inner],
        Type::Declared(Kind::Model, _) => families(kind),
        Type::Declared(_, inner) => vec![inner],
        Type::Variant(kinds) => one_of(kinds, kind),
        _ => Vec::new(),
    }
}

/// Every kind of this name, wherever the schema has it.
fn kinds_named(name: &str) -> Vec<&'static Section> {
    let mut found: Vec<&'static Section> = Vec::new();
    let mut seen: Vec<&'static Section> = Vec::new();
    let mut open: Vec<&'static Section> = FAMILIES.to_vec();
    open.push(&EXPERIMENT);
    while let Some(section) = open.pop() {
        if seen.iter().any(|known| std::ptr::eq(*known, section)) {
            continue;
        }
        seen.push(section);
        if section.name == name {
            found.push(section);
        }
        open.extend(section.fields.iter().flat_map(|field| below(field, None)));
    }
    found
}
