//! From files to a tree of cells, and from cells to values.
//!
//! The steps, each in its file:
//! [`files`] reads imports; [`elaborate`] lays the entries of an experiment, of what it extends and of what it amends over one another, so that
//! the nearest word wins; [`defaults`] fills what nobody set; [`cells`] evaluates a cell when somebody asks, as a spreadsheet does; [`coerce`]
//! holds each value against its field's type; [`defer`] keeps what depends on the placement as a formula for the planner.
//!
//! A mistake is reported where it is made. The cell it spoils becomes poisoned and silences whatever depends on it.

mod alone;
mod cells;
mod coerce;
mod declarations;
mod defaults;
mod defer;
mod elaborate;
mod files;
mod instantiate;
mod lists;
mod mix;
mod phases;
mod schedules;
mod settings;
mod stack;
mod sweep;
mod table;
mod tree;
mod unknown;
mod unread;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::evaluate::{Stop, Value};
use crate::origin::Layer;
use crate::problem::{MOST_PROBLEMS, Problem};
use crate::sources::Sources;
use crate::syntax::{Expression, Goal, Name, Place};

pub use declarations::check_twice;
pub use defaults::{Defaults, example};
pub use files::{Files, Scope, read_files};
pub use mix::Share;
pub use settings::{Setting, read_settings};
pub use stack::{Pattern, is_structure};
pub use sweep::{Axis, LONGEST_AXIS, MOST_CHECKED, Sweep};
pub use tree::{Body, Content, Node, NodeId, Tree};
pub use unknown::{meant_by_neighbour, not_yet};

/// The work on one experiment: its tree, and what was found on the way.
pub struct Resolver<'files> {
    /// The parsed files.
    pub files: &'files [Scope],
    /// The texts, with those of settings and defaults added on the way.
    pub sources: &'files mut Sources,
    /// Defaults that were parsed before.
    defaults: &'files mut Defaults,
    /// The cells.
    pub tree: Tree,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// Place, code and title of all that was found.
    told: BTreeSet<(Place, &'static str, String)>,
    /// `require`, in the order of the layers.
    pub laws: Vec<Law>,
    /// Fields of the cluster that planning needs and nobody set, by path.
    pub lacking: Vec<String>,
    /// The last `minimize` or `maximize`.
    pub goals: Option<(NodeId, Vec<Goal>)>,
    /// Values that were computed, by node.
    values: Vec<Option<Result<Value, Stop>>>,
    /// Cells that are being computed.
    stack: Vec<NodeId>,
    /// Declarations that are being laid over one another, to stop circles of `extends`.
    chain: Vec<Name>,
    /// Files of what is extended, the nearest base first: whoever extends a declaration sees the names it sees.
    lineage: Vec<usize>,
    /// Cells of a table that keep the value of the row above, with that row.
    kept: BTreeMap<NodeId, NodeId>,
    /// Mixes that were read, by dataset.
    mixes: BTreeMap<NodeId, Option<Vec<Share>>>,
    /// Whether the lengths of phases contradict that of the run, which is reported.
    pub disagreeing: bool,
    /// Values of lists that formulas made.
    pub listed: usize,
    /// Shipped files that only settings see.
    pub beside: &'files [usize],
}

/// A `require`.
#[derive(Clone, Debug)]
pub struct Law {
    /// The section it stands in.
    pub section: NodeId,
    /// The law.
    pub condition: Arc<Expression>,
    /// Its reason.
    pub because: Option<String>,
    /// The whole entry.
    pub place: Place,
    /// The layer it came with.
    pub layer: Layer,
}

impl<'files> Resolver<'files> {
    /// A resolver with an empty tree.
    pub fn new(
        files: &'files [Scope],
        sources: &'files mut Sources,
        defaults: &'files mut Defaults,
    ) -> Resolver<'files> {
        Resolver {
            files,
            sources,
            defaults,
            lacking: Vec::new(),
            tree: Tree::default(),
            problems: Vec::new(),
            told: BTreeSet::new(),
            laws: Vec::new(),
            goals: None,
            values: Vec::new(),
            stack: Vec::new(),
            chain: Vec::new(),
            lineage: Vec::new(),
            kept: BTreeMap::new(),
            mixes: BTreeMap::new(),
            disagreeing: false,
            listed: 0,
            beside: &[],
        }
    }

    /// Whether so much is wrong that no more is taken. Asked where finding the words costs much.
    pub fn is_full(&self) -> bool {
        self.problems.len() >= MOST_PROBLEMS
    }

    /// Takes a mistake; one that several users of a `let` or a preset share is taken once.
    pub fn report(&mut self, problem: Problem) {
        if self.is_full() {
            return;
        }
        let told = (problem.at.place, problem.code, problem.title.clone());
        if self.told.insert(told) {
            self.problems.push(problem);
        }
    }
}
