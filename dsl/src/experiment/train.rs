//! How an experiment is trained, and when it is saved.

/// How the model is trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Train {
    /// Length of the run.
    pub steps: u64,
    /// Sequences of a step over all replicas.
    pub global_batch: u64,
    /// The optimizer.
    pub optimizer: AdamW,
    /// The learning rate.
    pub lr: LearningRate,
    /// Largest gradient norm; none for no clipping.
    pub clip: Option<f64>,
    /// The number format.
    pub precision: Precision,
}

/// AdamW.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Decays of the two moments.
    pub betas: [f64; 2],
    /// Added to the denominator.
    pub eps: f64,
    /// Decoupled decay of matrices (biases and norms do not decay).
    pub weight_decay: f64,
}

/// The learning rate over the run, with linear warm-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LearningRate {
    /// The peak for ever.
    Constant {
        /// Rate after the warm-up.
        peak: f64,
        /// Steps of warm-up.
        warmup: u64,
    },
    /// Half a cosine from the end of the warm-up to the end of the run.
    Cosine {
        /// Rate after the warm-up.
        peak: f64,
        /// Rate at the end.
        end: f64,
        /// Steps of warm-up.
        warmup: u64,
    },
}

/// The number format of training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Everything in 64 bits: for proofs.
    Fp64,
    /// Everything in 32 bits.
    Fp32,
    /// Activations and matrices in bfloat16; master weights, moments and gradient sums in 32 bits.
    Bf16,
    /// The same with IEEE half precision and loss scaling (planned, not run).
    Fp16,
}

/// When the run is saved (and always at its end).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoints {
    /// Every so many steps; none for only at the end.
    pub every: Option<u64>,
    /// How many to keep.
    pub keep: u32,
}
