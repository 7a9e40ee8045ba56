//! What the language can say and this version cannot plan yet. It is refused by name before anything is planned, and never left out in silence.

mod data;
mod phases;
mod plan;
mod run;
mod size;
mod train;

use pleach_dsl::experiment::Experiment;
use pleach_plan::hardware::Hardware;

pub use data::{is_weighted, unread};
pub use size::oversized;

use crate::graph::beyond::beyond;

/// Whether a run of it can be started here, on this machine's processor, where its data is or can be fetched.
pub fn is_run(experiment: &Experiment, devices: &Hardware) -> bool {
    devices.kind.is_cpu() && data::is_read(experiment)
}

/// One thing that cannot be planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// The field that asks for it, by its dotted path, or the nearest field that the spec may have set.
    pub path: &'static str,
    /// What it is, for a sentence: `grouped-query attention`.
    pub what: &'static str,
}

/// Everything of an experiment that cannot be planned.
pub fn check(experiment: &Experiment) -> Vec<Unsupported> {
    let large = oversized(experiment);
    if !large.is_empty() {
        return large;
    }
    let mut found = beyond(&experiment.model);
    train::check(experiment, &mut found);
    phases::check(experiment, &mut found);
    for phase in crate::phases::of(experiment) {
        data::check(&phase, &mut found);
    }
    run::check(experiment, &mut found);
    plan::check(experiment, &mut found);
    let mut known = Vec::new();
    for one in found {
        if !known.contains(&one) {
            known.push(one);
        }
    }
    known
}
