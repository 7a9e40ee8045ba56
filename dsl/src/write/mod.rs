//! The experiment as it stands, written again as a spec of one file: what was composed is laid open, every formula has become its value, and every default is said.
//!
//! In comes the resolved tree, out come lines with the path of the value that each sets, so that its origin can stand beside it. Read again,
//! they are the same experiment and the same wishes of the placement: both hashes stay. Only what waits for the planner stays a formula.
//!
//! Model, data and machines keep their names, which run folders and messages show, and stand as declarations of their own before the experiment.

mod difference;
mod literal;
mod sections;
mod structure;

use std::collections::BTreeSet;

pub use difference::{Change, Part, changes};

use crate::resolve::{NodeId, Resolver};

/// One line of the spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its text, not indented.
    pub text: String,
    /// The value it sets, by dotted path.
    pub path: Option<String>,
}

impl Line {
    /// A line that sets nothing by itself.
    fn plain(text: impl Into<String>) -> Line {
        Line {
            text: text.into(),
            path: None,
        }
    }
}

/// The experiment of a tree as lines, under a name.
pub fn lines(resolver: &mut Resolver, name: &str) -> Vec<Line> {
    let mut writer = Writer {
        resolver,
        declared: Vec::new(),
        names: BTreeSet::from([identifier(name)]),
    };
    let body = writer.inside(0);
    let mut lines = writer.declared;
    lines.push(Line::plain(format!("experiment {} {{", identifier(name))));
    lines.extend(body);
    lines.push(Line::plain("}"));
    lines
}

/// What is being written.
struct Writer<'run, 'files> {
    resolver: &'run mut Resolver<'files>,
    /// Declarations, which stand before the experiment.
    declared: Vec<Line>,
    /// Names that are taken at the top.
    names: BTreeSet<String>,
}

impl Writer<'_, '_> {
    /// A section as a declaration of its own; gives its name.
    fn declare(&mut self, id: NodeId, word: &str, base: Option<&str>, kind: &str) -> String {
        let wanted = identifier(kind.rsplit('.').next().unwrap_or(kind));
        let free = |names: &BTreeSet<String>, name: &String| !names.contains(name);
        let name = std::iter::once(wanted.clone())
            .chain((2..).map(|number| format!("{wanted}_{number}")))
            .find(|name| free(&self.names, name))
            .unwrap_or_default();
        self.names.insert(name.clone());
        let extends = base.map_or(String::new(), |base| format!(" extends {base}"));
        let body = self.inside(id);
        self.declared
            .push(Line::plain(format!("{word} {name}{extends} {{")));
        self.declared.extend(body);
        self.declared.push(Line::plain("}"));
        self.declared.push(Line::plain(""));
        name
    }
}

/// A name that the language takes: runs of sweeps have others.
fn identifier(name: &str) -> String {
    let fits = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let name: String = name
        .chars()
        .map(|character| if fits(character) { character } else { '_' })
        .collect();
    match name.chars().next() {
        Some(first) if !first.is_ascii_digit() => name,
        _ => format!("_{name}"),
    }
}
