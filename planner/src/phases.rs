//! The phases of a run, one experiment for each: what is planned, verified and run of a curriculum.
//!
//! In comes an experiment, out come those that its phases are: with the phase's data, length of sequences, batch and steps, and no phases
//! of their own. An experiment without phases is its only one.

use pleach_dsl::experiment::{Experiment, Part, Phase, Rate, Segment};

use crate::rate;

/// The phases of an experiment, in order.
pub fn of(experiment: &Experiment) -> Vec<Experiment> {
    if experiment.train.phases.is_empty() {
        return vec![experiment.clone()];
    }
    let (mut steps, mut samples) = (0, 0);
    let mut found = Vec::new();
    for phase in &experiment.train.phases {
        found.push(one(experiment, phase, steps, samples));
        steps = phase.steps.saturating_add(steps);
        samples = phase
            .steps
            .saturating_mul(phase.global_batch)
            .saturating_add(samples);
    }
    found
}

/// One phase, behind so many steps and samples.
fn one(experiment: &Experiment, phase: &Phase, steps: u64, samples: u64) -> Experiment {
    let mut own = experiment.clone();
    own.data = phase.data.clone();
    own.model.context = phase.context;
    own.train.steps = phase.steps;
    own.train.global_batch = phase.global_batch;
    own.train.phases = Vec::new();
    own.train.part = Some(Part {
        name: phase.name.clone(),
        steps,
        samples,
        segment: match phase.rate {
            Rate::Whole => None,
            Rate::Segment(segment) => Some(known(experiment, segment)),
        },
    });
    own
}

/// A segment with the rates of its ends.
fn known(experiment: &Experiment, segment: Segment) -> Segment {
    let [from, to] = rate::ends(&experiment.train, &segment);
    Segment {
        from: Some(from),
        to: Some(to),
        ..segment
    }
}
