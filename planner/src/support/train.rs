//! What a run can be asked of its training: AdamW, sums in wide formats, and the plain cross entropy.

use pleach_dsl::experiment::{Experiment, Loss, Optimizer};

use super::Unsupported;

/// Something that is asked for or not, the field that asks, and what it is.
type Asked = (bool, &'static str, &'static str);

/// Everything of `train` that cannot be planned.
pub fn check(experiment: &Experiment, found: &mut Vec<Unsupported>) {
    let train = &experiment.train;
    let sums = train.precision.sums();
    let Loss {
        z_loss,
        label_smoothing,
    } = train.loss;
    let rest = [
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
    let asked = optimizer(&train.optimizer).into_iter().chain(rest);
    let refused = asked.filter(|(refused, ..)| *refused);
    found.extend(refused.map(|(_, path, what)| Unsupported { path, what }));
}

fn optimizer(optimizer: &Optimizer) -> Vec<Asked> {
    let other = |what| vec![(true, "train.optimizer", what)];
    match optimizer {
        Optimizer::AdamW(_) => Vec::new(),
        Optimizer::Adam(_) => other("Adam with weight decay in the gradient"),
        Optimizer::Lion { .. } => other("the optimizer `lion`"),
        Optimizer::Sgd { .. } => other("the optimizer `sgd`"),
    }
}
