//! What a run does beside training: it saves at regular steps, writes its figures, and measures nothing else.

use pleach_dsl::experiment::{Evaluate, Experiment, Log};

use super::Unsupported;

/// Everything of `log` and `evaluate` that cannot be done.
pub fn check(experiment: &Experiment, found: &mut Vec<Unsupported>) {
    let usual = Log::default();
    let Log { every, what, to } = &experiment.log;
    let Evaluate {
        every: measured,
        at_end,
        ..
    } = &experiment.evaluate;
    let refused = [
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
