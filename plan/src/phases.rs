//! A run of several phases: one plan for each, the first of which holds the others.
//!
//! Phases differ in data, batch, length of sequences and learning rate, and so in their programs and perhaps in their placements. Steps are
//! numbered through the run; samples anew in each phase, so that a place in the run is a phase and a count of samples. What one phase
//! leaves to the next is its last checkpoint.

use std::iter;

use serde::{Deserialize, Serialize};

use crate::{Plan, Training};

/// What lies before a phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begins {
    /// Steps of earlier phases.
    pub steps: u64,
    /// Their samples.
    pub samples: u64,
}

impl Begins {
    pub(crate) fn is_start(&self) -> bool {
        *self == Begins::default()
    }
}

impl Training {
    /// Samples of the phase that are trained on before a step of the run.
    pub fn phase_samples(&self, step: u64) -> u64 {
        step.saturating_sub(self.begins.steps)
            .saturating_mul(self.global_batch)
    }

    /// Samples of the run that are trained on before a step of this phase.
    pub fn samples(&self, step: u64) -> u64 {
        self.begins.samples.saturating_add(self.phase_samples(step))
    }
}

impl Plan {
    /// The plans of all phases, in order; only this one where the run has no phases.
    pub fn phases(&self) -> impl Iterator<Item = &Plan> {
        iter::once(self).chain(&self.then)
    }

    /// Length of the run in steps, over all phases.
    pub fn run_steps(&self) -> u64 {
        self.then.last().unwrap_or(self).training.steps
    }

    /// The phase, by its place, that goes on after so many steps of the run; the last one at the end.
    pub fn phase_after(&self, steps: u64) -> usize {
        let ended = self.phases().filter(|phase| phase.training.steps <= steps);
        ended.count().min(self.then.len())
    }
}
