//! What a run can be asked of its training: AdamW on matrices and embeddings, sums in wide formats, and the plain cross entropy.

use pleach_dsl::experiment::{Decays, Experiment, Loss, Optimizer};

use super::Unsupported;

/// Everything of `train` that cannot be planned.
pub fn check(experiment: &Experiment, found: &mut Vec<Unsupported>) {
    let train = &experiment.train;
    let mut refuse = |refused: bool, path, what| {
        if refused {
            found.push(Unsupported { path, what });
        }
    };
    let optimizer = match train.optimizer {
        Optimizer::AdamW(_) => None,
        Optimizer::Adam(_) => Some("Adam with weight decay in the gradient"),
        Optimizer::Lion { .. } => Some("the optimizer `lion`"),
        Optimizer::Sgd { .. } => Some("the optimizer `sgd`"),
    };
    if let Some(what) = optimizer {
        refuse(true, "train.optimizer", what);
    }
    if let Some(adam) = train.optimizer.adam_w() {
        let usual = Decays::default();
        let decays = adam.decays;
        refuse(
            decays.embeddings != usual.embeddings,
            "train.optimizer.decay_embeddings",
            "an embedding without weight decay",
        );
        refuse(
            decays.biases != usual.biases,
            "train.optimizer.decay_biases",
            "weight decay of biases",
        );
        refuse(
            decays.norms != usual.norms,
            "train.optimizer.decay_norms",
            "weight decay of norms",
        );
    }
    let sums = train.precision.sums();
    refuse(
        train.accumulate != sums,
        "train.accumulate",
        "a sum of gradients in this format",
    );
    refuse(
        train.reduce != sums,
        "train.reduce",
        "a reduction of gradients in this format",
    );
    let plain = Loss::default();
    refuse(
        train.loss.z_loss != plain.z_loss,
        "train.loss.z_loss",
        "a z-loss",
    );
    refuse(
        train.loss.label_smoothing != plain.label_smoothing,
        "train.loss.label_smoothing",
        "label smoothing",
    );
}
