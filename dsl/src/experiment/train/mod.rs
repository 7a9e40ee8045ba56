//! How an experiment is trained.

mod optimizer;
mod phase;
mod precision;
mod rate;

pub use optimizer::{AdamW, Decays, Optimizer};
pub use phase::{Part, Phase, Rate, Segment};
pub use precision::{Float, LossScale, Precision};
pub use rate::{Decay, LearningRate, Shape, Version};

/// How the model is trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Train {
    /// Length of the run.
    pub steps: u64,
    /// Sequences of a step over all replicas; with phases, those of the first.
    pub global_batch: u64,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// The learning rate over the whole run; none where every phase has its own.
    pub lr: Option<LearningRate>,
    /// Largest gradient norm; none for no clipping.
    pub clip: Option<f64>,
    /// The number format.
    pub precision: Precision,
    /// The format in which gradients of micro-batches are summed.
    pub accumulate: Float,
    /// The format in which gradients travel between replicas.
    pub reduce: Float,
    /// What is made small: the cross entropy of the next token, with these additions.
    pub loss: Loss,
    /// In which order gradients are summed over a step.
    pub sums: Sums,
    /// What follows a step that is not finite.
    pub not_finite: NotFinite,
    /// The phases of a curriculum, in order; empty for a run that is the same from beginning to end.
    pub phases: Vec<Phase>,
    /// The part of a run that this is; none for the whole of it.
    pub part: Option<Part>,
}

impl Train {
    /// A training at one rate, everything else as the language has it by default: what a program starts from that has no spec.
    pub fn plain(steps: u64, global_batch: u64, peak: f64, precision: Precision) -> Train {
        Train {
            steps,
            global_batch,
            optimizer: Optimizer::AdamW(AdamW {
                betas: [0.9, 0.95],
                eps: 1e-8,
                weight_decay: 0.1,
                decays: Decays::default(),
            }),
            lr: Some(LearningRate {
                peak,
                warmup: 0,
                shape: Shape::Constant,
                version: Version::Plain,
            }),
            clip: Some(1.0),
            precision,
            accumulate: precision.sums(),
            reduce: precision.sums(),
            loss: Loss::default(),
            sums: Sums::Fast,
            not_finite: NotFinite::Halt,
            phases: Vec::new(),
            part: None,
        }
    }
}

/// In which order gradients are summed over the samples of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sums {
    /// As the placement has them.
    Fast,
    /// In one order, whatever the placement.
    Reproducible {
        /// Lanes that are summed pairwise.
        lanes: u64,
    },
}

/// What follows a step that is not finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotFinite {
    /// The run ends.
    Halt,
    /// Its update is left out.
    Skip {
        /// So many steps one behind the other.
        in_a_row: u64,
    },
    /// The run goes back to its last checkpoint.
    RollBack {
        /// So often.
        times: u64,
    },
}

/// What is added to the cross entropy.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loss {
    /// Weight of the squared logarithm of the softmax's denominator.
    pub z_loss: f64,
    /// Share of the target that is spread over all tokens.
    pub label_smoothing: f64,
}
