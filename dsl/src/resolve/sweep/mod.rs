//! A sweep: a declaration that extends an experiment, with axes. `path in choices` directly in its block is an axis; every choice of every axis
//! with every other makes one run.
//!
//! Axes are read from the syntax alone, before anything is evaluated, so that the number of runs is known before any run is built. A run is
//! then built as an experiment is: the base, the sweep's other entries, and over them the chosen values as entries of the layer "sweep case".
//! A choice is a formula of the run's own cells. The order of axes and entries does not matter, as nothing may be set twice in one block.

mod alike;
mod axes;
mod constant;

pub use axes::LONGEST_AXIS;

use std::collections::BTreeMap;
use std::sync::Arc;

use num_rational::BigRational;
use num_traits::ToPrimitive;

use super::elaborate::{Seen, clashing, set_twice, target};
use super::{NodeId, Resolver};
use crate::evaluate::Value;
use crate::origin::Layer;
use crate::problem::{Problem, take};
use crate::quantity::{Dimension, show, whole};
use crate::syntax::{Block, Declaration, Entry, Expression, ExpressionKind, Name, Path, Place};

/// Runs that need no leave. A thousand plans are looked through in minutes; what is more was probably not counted.
pub const LIMIT: u64 = 1000;

/// So many experiments and runs are checked in seconds; what is more was probably not counted.
pub const MOST_CHECKED: usize = 10_000;

/// A sweep as far as it can be read without evaluating.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// Its name.
    pub name: Name,
    /// Its number among the declarations of the root file.
    pub declaration: usize,
    /// Its axes, the slowest first.
    pub axes: Vec<Axis>,
    /// Whether an axis could not be read, which was reported.
    pub broken: bool,
    /// The entries that hold for every run.
    block: Block,
    /// Whether the author says how many runs are allowed.
    pub allowed: bool,
    /// The number of runs that is allowed.
    limit: u64,
    /// Where that is written.
    limit_place: Option<Place>,
}

/// One axis.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What it is called: the path it sets, or the name of its table.
    pub name: String,
    /// Its entry.
    pub place: Place,
    /// Its choices.
    pub choices: Vec<Choice>,
}

/// One choice of an axis.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Its part of the run's name.
    pub label: String,
    /// What it sets.
    bindings: Vec<Binding>,
}

/// One value that a choice sets.
#[derive(Clone, Debug)]
struct Binding {
    path: Path,
    value: Arc<Expression>,
}

impl Sweep {
    /// Reads a sweep's axes and limit.
    /// Axes have room for so many choices, which all sweeps of a file share.
    pub fn read(
        number: usize,
        declaration: &Declaration,
        room: &mut u64,
        problems: &mut Vec<Problem>,
    ) -> Sweep {
        let mut sweep = Sweep {
            name: declaration.name.clone(),
            declaration: number,
            axes: Vec::new(),
            broken: false,
            block: Block {
                entries: Vec::new(),
                place: declaration.block.place,
            },
            allowed: false,
            limit: LIMIT,
            limit_place: None,
        };
        let before = problems.len();
        let constants = axes::constants(&declaration.block);
        for entry in &declaration.block.entries {
            match entry {
                Entry::Domain { path, value, place } => {
                    let value = axes::constant_of(&constants, value);
                    match axes::axis(path, value, (*place, &mut *room), problems) {
                        Some(axis) => sweep.axes.push(axis),
                        None => sweep.broken = true,
                    }
                }
                Entry::Binding { path, value, .. } if path.text == "limit" => {
                    sweep.allowed = true;
                    sweep.limit = limit(value, problems).unwrap_or(u64::MAX);
                    sweep.limit_place = Some(value.place);
                }
                Entry::Section { name, block } if alike::has_axis(name, block) => {
                    sweep.broken = true;
                    problems.extend(alike::misplaced_axes(&name.text, block));
                }
                other => {
                    // A line that cannot be read may have been an axis.
                    sweep.broken |= matches!(other, Entry::Broken { .. });
                    sweep.block.entries.push(other.clone());
                }
            }
        }
        sweep.report_twice(&declaration.block, problems);
        if sweep.axes.is_empty() && !sweep.broken && problems.len() == before {
            problems.push(no_axis(&declaration.name));
            sweep.broken = true;
        }
        if let (false, Some(problem)) = (problems.len() > before, sweep.runs_of_one_name()) {
            problems.push(problem);
            sweep.broken = true;
        }
        sweep
    }

    /// How many runs there are.
    pub fn total(&self) -> u64 {
        if self.broken {
            return 0;
        }
        let sizes = self.axes.iter().map(|axis| axis.choices.len() as u64);
        sizes.fold(1, u64::saturating_mul)
    }

    /// A sweep of more runs than it is allowed.
    pub fn exploded(&self) -> Option<Problem> {
        let total = self.total();
        if total <= self.limit {
            return None;
        }
        let written = grouped(total);
        let title = format!("this sweep is {} runs", show(&whole(total)));
        let sizes: Vec<String> = self
            .axes
            .iter()
            .map(|axis| axis.choices.len().to_string())
            .collect();
        let label = match sizes.as_slice() {
            [_] => "1 axis".to_string(),
            sizes => format!("{} axes: {}", sizes.len(), sizes.join(" × ")),
        };
        let problem = Problem::error("pleach::sweep::limit", title, self.name.place, label);
        let problem = match self.limit_place {
            Some(place) => problem.and(place, format!("at most {}", show(&whole(self.limit)))),
            None => problem,
        };
        Some(problem.help(format!(
            "narrow an axis, or allow it: `limit = {written} runs`"
        )))
    }

    /// The choice of each axis in the run of a number; the last axis turns fastest.
    pub fn picks(&self, run: u64) -> Vec<usize> {
        let mut rest = run;
        let mut picks: Vec<usize> = self
            .axes
            .iter()
            .rev()
            .map(|axis| {
                let size = axis.choices.len() as u64;
                let pick = rest % size;
                rest /= size;
                usize::try_from(pick).unwrap_or(0)
            })
            .collect();
        picks.reverse();
        picks
    }

    /// The name of a run: `pythia_suite/m70-the_pile`.
    pub fn run_name(&self, picks: &[usize]) -> String {
        let labels: Vec<&str> = self
            .axes
            .iter()
            .zip(picks)
            .map(|(axis, pick)| axis.choices[*pick].label.as_str())
            .collect();
        format!("{}/{}", self.name.text, labels.join("-"))
    }

    /// The run of a name.
    pub fn find(&self, name: &str) -> Option<Vec<usize>> {
        let labels = name.strip_prefix(&self.name.text)?.strip_prefix('/')?;
        if self.broken {
            return None;
        }
        match_labels(&self.axes, labels)
    }

    /// Runs, as few as hold every choice of every axis once: what is enough to read all of it.
    pub fn sample(&self) -> Vec<Vec<usize>> {
        let sizes = || self.axes.iter().map(|axis| axis.choices.len());
        (0..sizes().max().unwrap_or(1).min(MOST_CHECKED))
            .map(|run| sizes().map(|size| run.min(size - 1)).collect())
            .collect()
    }

    /// Whether a place is one of the choices, so that it tells by itself which runs it is about.
    pub fn chose(&self, place: Place) -> bool {
        let within = |axis: &Axis| {
            axis.place.file == place.file
                && axis.place.start <= place.start
                && place.end <= axis.place.end
        };
        self.axes.iter().any(within)
    }

    /// Paths that two axes set, or an axis and another entry of the block.
    fn report_twice(&mut self, block: &Block, problems: &mut Vec<Problem>) {
        let mut seen: Seen = BTreeMap::new();
        for entry in &block.entries {
            if let (Some((name, binds)), false) =
                (target(entry), matches!(entry, Entry::Domain { .. }))
            {
                seen.entry(name).or_insert((entry.place(), binds));
            }
        }
        for axis in &self.axes {
            let mut paths: BTreeMap<&str, Place> = BTreeMap::new();
            for choice in &axis.choices {
                for binding in &choice.bindings {
                    paths
                        .entry(&binding.path.text)
                        .or_insert(binding.path.place);
                }
            }
            for (path, place) in paths {
                match clashing(&seen, path, true) {
                    Some(first) => take(set_twice(path, place, first), problems),
                    None => {
                        seen.insert(path, (place, true));
                    }
                }
            }
        }
    }
}

impl<'files> Resolver<'files> {
    /// Builds the tree of one run of a sweep.
    pub fn elaborate_run(
        &mut self,
        sweep: &Sweep,
        declaration: &'files Declaration,
        picks: &[usize],
    ) {
        let root = self.experiment_root(&sweep.run_name(picks), declaration.name.place);
        self.chain.push(declaration.name.clone());
        self.apply_base(root, declaration);
        self.apply_block(root, &sweep.block, Layer::Override);
        self.chain.pop();
        for (axis, pick) in sweep.axes.iter().zip(picks) {
            self.apply_choice(root, &axis.choices[*pick]);
        }
    }

    fn apply_choice(&mut self, root: NodeId, choice: &Choice) {
        for binding in &choice.bindings {
            let at = (Layer::SweepCase, binding.value.place);
            self.bind(root, &binding.path, &binding.value, at, false);
        }
    }
}

/// The axes whose labels make up a text.
fn match_labels(axes: &[Axis], text: &str) -> Option<Vec<usize>> {
    let (axis, rest) = axes.split_first()?;
    let found = |(pick, choice): (usize, &Choice)| {
        let after = text.strip_prefix(&choice.label)?;
        if rest.is_empty() {
            return after.is_empty().then(|| vec![pick]);
        }
        let mut picks = match_labels(rest, after.strip_prefix('-')?)?;
        picks.insert(0, pick);
        Some(picks)
    };
    axis.choices.iter().enumerate().find_map(found)
}

/// The number of runs that `limit` allows.
fn limit(value: &Expression, problems: &mut Vec<Problem>) -> Option<u64> {
    let runs = |unit: &Name| matches!(unit.text.as_str(), "run" | "runs");
    match &value.kind {
        ExpressionKind::Amount(amount)
            if amount.unit.as_ref().is_none_or(runs)
                && amount.value.is_integer()
                && amount.value >= BigRational::from_integer(1.into()) =>
        {
            return Some(amount.value.to_integer().to_u64().unwrap_or(u64::MAX));
        }
        ExpressionKind::Broken => {}
        _ => {
            if let Some(runs) = constant::constant(value).and_then(whole_runs) {
                return Some(runs);
            }
            let title = "`limit` is a number of runs";
            let problem = Problem::error(
                "pleach::value::kind",
                title,
                value.place,
                "not a number of runs",
            );
            problems.push(problem.help(format!("write for instance `limit = {} runs`", 2 * LIMIT)));
        }
    }
    None
}

/// A plain number of runs that was computed.
fn whole_runs(value: Value) -> Option<u64> {
    match value {
        Value::Number(number) if number.dimension == Dimension::NONE => number
            .value
            .is_integer()
            .then(|| number.value.to_integer().to_u64())?
            .filter(|runs| *runs > 0),
        _ => None,
    }
}

/// A number as the language takes it: `12_288`.
fn grouped(value: u64) -> String {
    show(&whole(value)).replace(',', "_")
}

/// A sweep in which nothing varies.
fn no_axis(name: &Name) -> Problem {
    let title = format!("the sweep `{}` has no axis", name.text);
    let problem = Problem::error("pleach::sweep::empty", title, name.place, "one run");
    problem.help("add `train.lr.peak in [1e-4, 3e-4]`, or make it an `experiment`")
}
