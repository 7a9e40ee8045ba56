//! What a run can be asked of its training: sums in wide formats, and the plain cross entropy.

use pleach_dsl::experiment::{Experiment, Loss};

use super::Unsupported;

/// Everything of `train` that cannot be planned.
pub fn check(experiment: &Experiment, found: &mut Vec<Unsupported>) {
    let train = &experiment.train;
    let sums = train.precision.sums();
    let Loss {
        z_loss,
        label_smoothing,
    } = train.loss;
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
        (z_loss != 0.0, "train.loss.z_loss", "a z-loss"),
        (
            label_smoothing != 0.0,
            "train.loss.label_smoothing",
            "label smoothing",
        ),
    ];
    let refused = asked.into_iter().filter(|(refused, ..)| *refused);
    found.extend(refused.map(|(_, path, what)| Unsupported { path, what }));
}
