//! What a run can be asked of its training: sums of gradients in wide formats.

use pleach_dsl::experiment::{Experiment, NotFinite};

use super::Unsupported;

/// Everything of `train` that cannot be planned.
pub fn check(experiment: &Experiment, found: &mut Vec<Unsupported>) {
    let train = &experiment.train;
    let sums = train.precision.sums();
    let asked = [
        (
            train.accumulate != sums,
            "train.accumulate",
            "a sum of gradients in this format",
        ),
        (
            train.reduce != sums,
            "train.reduce",
            "a reduction of gradients in this format",
        ),
    ];
    let backwards = matches!(train.not_finite, NotFinite::RollBack { .. });
    if backwards && !experiment.checkpoints.optimizer {
        let what = "going back to checkpoints without the optimizer's state";
        found.push(Unsupported {
            path: "train.not_finite",
            what,
        });
    }
    let refused = asked.into_iter().filter(|(refused, ..)| *refused);
    found.extend(refused.map(|(_, path, what)| Unsupported { path, what }));
}
