//! What a run does beside training: it saves, writes figures of its steps, and measures the loss on what is held out.

use pleach_dsl::experiment::{Evaluate, Experiment, Log};

use super::Unsupported;

/// Everything of `log` and `evaluate` that cannot be done.
pub fn check(experiment: &Experiment, found: &mut Vec<Unsupported>) {
    let Log { to, .. } = &experiment.log;
    let Evaluate {
        every,
        at_end,
        data,
        ..
    } = &experiment.evaluate;
    let refused = [
        (
            to.iter().any(|form| form == "wandb"),
            "log.to",
            "a log for Weights and Biases",
        ),
        (
            data.is_some() && (every.is_some() || *at_end),
            "evaluate.data",
            "evaluation on another dataset than the one that is trained on",
        ),
    ];
    let refused = refused.into_iter().filter(|(refused, ..)| *refused);
    found.extend(refused.map(|(_, path, what)| Unsupported { path, what }));
}
