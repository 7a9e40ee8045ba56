//! The outline of a text: declarations, what is in them, and the dotted path of each.

use crate::parse::parse;
use crate::syntax::{
    Block, Declaration, Entry, Expression, ExpressionKind, File, Kind, Name, Path, Place, Table,
};

/// What a symbol is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SymbolKind {
    /// `import "…"`.
    Import,
    /// `experiment name { … }` and its like.
    Declaration(Kind),
    /// `train { … }`.
    Section,
    /// `steps = …`.
    Binding,
    /// `tp in …`.
    Choice,
    /// `let wide = …`.
    Constant,
    /// `require …`.
    Law,
    /// `minimize …`.
    Wish,
    /// A row of a table.
    Row,
    /// A line that cannot be read, with the name it begins with.
    Broken,
}

/// One line of an outline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// What it is.
    pub kind: SymbolKind,
    /// Its name; for an import its path, for a law or a wish nothing.
    pub name: String,
    /// Where it leads from the declaration's kind on: `experiment.train.lr`. Empty for an import.
    pub path: String,
    /// The whole of it.
    pub place: Place,
    /// Its name.
    pub at: Place,
    /// What is inside.
    pub inner: Vec<Symbol>,
}

/// The outline of a text, whole or not.
pub fn outline(text: &str) -> Vec<Symbol> {
    of_file(&parse(0, text, &mut Vec::new()))
}

fn of_file(file: &File) -> Vec<Symbol> {
    let imports = file.imports.iter().map(|import| Symbol {
        kind: SymbolKind::Import,
        name: import.path.clone(),
        path: String::new(),
        place: import
            .alias
            .as_ref()
            .map_or(import.place, |alias| import.place.to(alias.place)),
        at: import.place,
        inner: Vec::new(),
    });
    let mut symbols: Vec<Symbol> = imports
        .chain(file.declarations.iter().map(|own| declaration(own, file)))
        .collect();
    symbols.sort_by_key(|symbol| symbol.place.start);
    symbols
}

fn declaration(declaration: &Declaration, file: &File) -> Symbol {
    let path = declaration.kind.word().to_string();
    Symbol {
        kind: SymbolKind::Declaration(declaration.kind),
        name: declaration.name.text.clone(),
        place: declaration.place,
        at: declaration.name.place,
        inner: block(&declaration.block, &path, file),
        path,
    }
}

fn block(block: &Block, path: &str, file: &File) -> Vec<Symbol> {
    block
        .entries
        .iter()
        .map(|inner| entry(inner, path, file))
        .collect()
}

fn entry(entry: &Entry, outer: &str, file: &File) -> Symbol {
    let nameless = |kind, place| Symbol {
        kind,
        name: String::new(),
        path: outer.to_string(),
        place,
        at: place,
        inner: Vec::new(),
    };
    let of_value = |kind, name: &Name, value: &Expression, place| Symbol {
        inner: inside(value, &format!("{outer}.{}", name.text), file),
        ..named(kind, name, place, outer)
    };
    match entry {
        Entry::Section { name, block: inner } => {
            let whole = name.place.to(inner.place);
            let mut symbol = named(SymbolKind::Section, name, whole, outer);
            symbol.inner = block(inner, &symbol.path, file);
            symbol
        }
        Entry::Binding { path, value, place } => {
            of_value(SymbolKind::Binding, &name_of(path), value, *place)
        }
        Entry::Domain { path, value, place } => {
            of_value(SymbolKind::Choice, &name_of(path), value, *place)
        }
        Entry::Constant { name, value } => {
            let place = name.place.to(value.place);
            of_value(SymbolKind::Constant, name, value, place)
        }
        Entry::Require { place, .. } => nameless(SymbolKind::Law, *place),
        Entry::Objective { place, .. } => nameless(SymbolKind::Wish, *place),
        Entry::Broken { path, place } => match path {
            Some(path) => named(SymbolKind::Broken, &name_of(path), *place, outer),
            None => nameless(SymbolKind::Broken, *place),
        },
    }
}

fn name_of(path: &Path) -> Name {
    Name {
        text: path.text.clone(),
        place: path.place,
    }
}

fn named(kind: SymbolKind, name: &Name, place: Place, outer: &str) -> Symbol {
    Symbol {
        kind,
        name: name.text.clone(),
        path: format!("{outer}.{}", name.text),
        place,
        at: name.place,
        inner: Vec::new(),
    }
}

/// What is inside a value.
fn inside(value: &Expression, path: &str, file: &File) -> Vec<Symbol> {
    match &value.kind {
        ExpressionKind::Amend(_, inner) => block(inner, path, file),
        ExpressionKind::Table(table) => rows(table, path),
        ExpressionKind::Broken => {
            let partial = file.partial.get(&value.place);
            partial.map_or_else(Vec::new, |table| rows(table, path))
        }
        _ => Vec::new(),
    }
}

fn rows(table: &Table, outer: &str) -> Vec<Symbol> {
    let rows = table.rows.iter();
    rows.map(|row| named(SymbolKind::Row, &row.name, row.place, outer))
        .collect()
}
