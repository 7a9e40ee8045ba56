//! The tree of a file: what the parser gives and the resolver reads. Every node knows its [`Place`].

mod expression;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use expression::{Amount, Expression, ExpressionKind, Operator, Path, Row, Table};

/// A stretch of text in one file, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Index of the file in the sources of this load.
    pub file: usize,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Place {
    /// The smallest place that holds both; they are in one file.
    pub fn to(self, other: Place) -> Place {
        Place {
            file: self.file,
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }
}

/// The words of the language, which name no field; those of [`Kind`] are besides. The grammar has the same list, and a test holds them together.
pub const KEYWORDS: [&str; 21] = [
    "import", "as", "extends", "let", "require", "because", "minimize", "maximize", "within",
    "then", "if", "else", "in", "of", "and", "or", "not", "table", "true", "false", "auto",
];

/// A file: its imports and declarations, in order.
#[derive(Clone, Debug, Default)]
pub struct File {
    /// `import "…" as …`.
    pub imports: Vec<Import>,
    /// `experiment name { … }` and its like.
    pub declarations: Vec<Declaration>,
    /// Whether something at the top could not be read: names that seem missing may be in there.
    pub incomplete: bool,
    /// What could be read of tables with a row that could not, by the place of the table. In the tree such a table is broken as a whole, since
    /// sums over the rest would mislead; an outline still shows its rows.
    pub partial: BTreeMap<Place, Table>,
}

/// An import.
#[derive(Clone, Debug)]
pub struct Import {
    /// The path as written.
    pub path: String,
    /// Where that path stands.
    pub place: Place,
    /// The name behind `as`.
    pub alias: Option<Name>,
}

/// A name and where it stands.
#[derive(Clone, Debug)]
pub struct Name {
    /// The name.
    pub text: String,
    /// Where it stands.
    pub place: Place,
}

/// What is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A run.
    Experiment,
    /// Many runs.
    Sweep,
    /// A model.
    Model,
    /// A dataset.
    Dataset,
    /// Machines.
    Cluster,
    /// A pipeline schedule.
    Schedule,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 6] = [
        Kind::Experiment,
        Kind::Sweep,
        Kind::Model,
        Kind::Dataset,
        Kind::Cluster,
        Kind::Schedule,
    ];

    /// The word of the language.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Experiment => "experiment",
            Kind::Sweep => "sweep",
            Kind::Model => "model",
            Kind::Dataset => "dataset",
            Kind::Cluster => "cluster",
            Kind::Schedule => "schedule",
        }
    }
}

/// A named declaration.
#[derive(Clone, Debug)]
pub struct Declaration {
    /// What it declares.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
    /// What it extends.
    pub base: Option<Path>,
    /// Its entries.
    pub block: Block,
    /// From its kind to its closing brace.
    pub place: Place,
}

/// The entries between two braces.
#[derive(Clone, Debug)]
pub struct Block {
    /// The entries, in order.
    pub entries: Vec<Entry>,
    /// From brace to brace.
    pub place: Place,
}

/// One entry of a block.
#[derive(Clone, Debug)]
pub enum Entry {
    /// `name { … }`: edits the section that is there.
    Section {
        /// The section.
        name: Name,
        /// The edits.
        block: Block,
    },
    /// `path = value`.
    Binding {
        /// The field.
        path: Path,
        /// Its formula.
        value: Arc<Expression>,
        /// The whole entry.
        place: Place,
    },
    /// `path in choices`.
    Domain {
        /// The field.
        path: Path,
        /// The choices.
        value: Arc<Expression>,
        /// The whole entry.
        place: Place,
    },
    /// `let name = value`.
    Constant {
        /// The name.
        name: Name,
        /// Its formula.
        value: Arc<Expression>,
    },
    /// `require condition because "…"`.
    Require {
        /// The law.
        condition: Arc<Expression>,
        /// Its reason.
        because: Option<String>,
        /// The whole entry.
        place: Place,
    },
    /// `minimize a within 2% then b`.
    Objective {
        /// The goals, in order.
        goals: Vec<Goal>,
        /// The whole entry.
        place: Place,
    },
    /// A line that was reported; its field, where it begins with one, is silenced.
    Broken {
        /// The path it begins with.
        path: Option<Path>,
        /// The whole line.
        place: Place,
    },
}

impl Entry {
    /// The smallest place that stands for the entry.
    pub fn place(&self) -> Place {
        match self {
            Entry::Section { name, .. } | Entry::Constant { name, .. } => name.place,
            Entry::Binding { place, .. } | Entry::Domain { place, .. } => *place,
            Entry::Require { place, .. }
            | Entry::Objective { place, .. }
            | Entry::Broken { place, .. } => *place,
        }
    }
}

/// One goal of an objective.
#[derive(Clone, Debug)]
pub struct Goal {
    /// Whether it is made large; a goal without a word takes that of the goal before it.
    pub maximize: bool,
    /// What is made small or large.
    pub metric: Expression,
    /// How far from the best still counts as best: 0.02 for `within 2%`.
    pub within: Option<Expression>,
}
