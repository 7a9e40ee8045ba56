//! What a run does beside training: it saves at regular steps, writes its figures, and measures nothing else.

use pleach_dsl::experiment::{Checkpoints, Evaluate, Experiment, Log};

use super::Unsupported;

/// Everything of `checkpoints`, `log` and `evaluate` that cannot be done.
pub fn check(experiment: &Experiment, found: &mut Vec<Unsupported>) {
    let Checkpoints {
        also,
        optimizer,
        background,
        ..
    } = &experiment.checkpoints;
    let usual = Log::default();
    let Log { every, what, to } = &experiment.log;
    let Evaluate {
        every: measured,
        at_end,
        ..
    } = &experiment.evaluate;
    let refused = [
        (
            !also.is_empty(),
            "checkpoints.also",
            "saving at single steps",
        ),
        (
            !optimizer,
            "checkpoints.optimizer",
            "a checkpoint without the optimizer's state",
        ),
        (
            *background,
            "checkpoints.background",
            "saving while training goes on",
        ),
        (
            *every != usual.every,
            "log.every",
            "logging of some steps only",
        ),
        (*what != usual.what, "log.what", "another choice of figures"),
        (*to != usual.to, "log.to", "another form of the log"),
        (
            measured.is_some() || *at_end,
            "evaluate",
            "evaluation during the run",
        ),
    ];
    let refused = refused.into_iter().filter(|(refused, ..)| *refused);
    found.extend(refused.map(|(_, path, what)| Unsupported { path, what }));
}
