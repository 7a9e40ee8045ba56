//! The typed experiment: what the language evaluates to, and all that the planner sees of a spec.
//!
//! Every value is final here (defaults filled in, formulas computed, units gone into the types); where it came from is in
//! [`Experiment::origins`], keyed by its dotted path. Open choices of the plan stay open as [`Choice`].

use std::collections::BTreeMap;

use crate::origin::Origin;
use crate::wish::{Choice, Objective, Requirement};

/// A whole experiment.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// Its name.
    pub name: String,
    /// Seed of initial values and data order.
    pub seed: u64,
    /// The model.
    pub model: Model,
    /// The data mix.
    pub data: Dataset,
    /// How it is trained.
    pub train: Train,
    /// When it is saved.
    pub checkpoints: Checkpoints,
    /// The machines.
    pub cluster: Cluster,
    /// What is said, left open and wished of the placement.
    pub plan: Wishes,
    /// Identity of model, data, training, seed and precision (hexadecimal BLAKE3): placement and wording do not change it.
    pub hash: String,
    /// Where each value came from, by dotted path (`train.lr.peak`).
    pub origins: BTreeMap<String, Origin>,
}

/// A decoder-only transformer.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Number of layers.
    pub layers: u64,
    /// Width of the residual stream.
    pub hidden: u64,
    /// Attention heads.
    pub heads: u64,
    /// Width of a head.
    pub head_dim: u64,
    /// Positions of a sequence, in tokens.
    pub context: u64,
    /// Vocabulary rows of the model.
    pub vocab: u64,
    /// How positions enter.
    pub positions: Positions,
    /// How a layer's two halves meet the residual stream.
    pub residual: Residual,
    /// The norm.
    pub norm: Norm,
    /// The feed-forward half.
    pub mlp: Mlp,
    /// Whether embedding and head share their table.
    pub tied: bool,
    /// Standard deviations of the initial weights.
    pub init: Init,
}

/// How positions enter the model.
#[derive(Clone, Debug, PartialEq)]
pub enum Positions {
    /// None at all.
    None,
    /// Rotation of the first `fraction` of each head.
    Rotary {
        /// Part of the head that is rotated, between 0 and 1; `fraction * head_dim` is a whole even number.
        fraction: f64,
        /// Base of the frequencies.
        base: f64,
    },
}

/// How a layer's two halves meet the residual stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residual {
    /// Attention first, the MLP reads what it left: `x += attention(norm(x)); x += mlp(norm(x))`.
    Sequential,
    /// Both read the layer's input, each through its own norm: `x += attention(norm1(x)) + mlp(norm2(x))`.
    ParallelSeparate,
    /// Both read the layer's input through one norm.
    ParallelShared,
}

/// The norm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Norm {
    /// Mean and variance, weight and bias.
    LayerNorm {
        /// Added to the variance.
        eps: f64,
    },
}

/// The feed-forward half of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mlp {
    /// `linear(gelu(linear(x)))` with biases, exact GELU.
    Gelu {
        /// Width between the two.
        width: u64,
    },
}

/// Standard deviations of initial weights (biases start at zero, norms at one).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Init {
    /// Embedding, query-key-value, first MLP matrix, head. `small_init` is `sqrt(2 / (5 * hidden))`.
    pub weights: f64,
    /// Matrices that write to the residual stream. `wang_init` is `2 / (layers * sqrt(hidden))`.
    pub output: f64,
}

/// A dataset: a source, a tokenizer and a mix.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Its name.
    pub name: String,
    /// Where it comes from: `cargo:dependencies`, `hf:…`.
    pub source: String,
    /// `bytes` or `hf:…`.
    pub tokenizer: String,
    /// The components, shares summing to exactly one.
    pub mix: Vec<Component>,
}

/// One component of a mix.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    /// Its name.
    pub name: String,
    /// Globs over the source's files; empty where the source knows the component by name.
    pub files: Vec<String>,
    /// Its share as an exact fraction: numerator and denominator.
    pub weight: [u64; 2],
    /// Its size in bytes, where the spec says it.
    pub size: Option<u64>,
}

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

/// The machines.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// The preset's name: `a100_40g`.
    pub name: String,
    /// Nodes.
    pub nodes: u64,
    /// GPUs of a node (for `this_machine`: ranks that share it).
    pub gpus_per_node: u64,
    /// What one of them is: the name of a table in `hardware/`, or `this_machine`.
    pub device: String,
    /// Memory of one, in bytes; none where the machine is asked.
    pub memory: Option<u64>,
    /// Dense peak of its matrix units in 16 bits, in FLOP/s; none where the machine is measured.
    pub peak_flops: Option<f64>,
    /// Bandwidth between two GPUs of a node, one direction, in bytes/s.
    pub intra_node: Option<f64>,
    /// Bandwidth of a node's network, one direction, all ports together, in bytes/s.
    pub inter_node: Option<f64>,
    /// Price of one GPU-hour in US dollars, where it is known.
    pub price_per_gpu_hour: Option<f64>,
}

impl Cluster {
    /// All GPUs.
    pub fn gpus(&self) -> u64 {
        self.nodes * self.gpus_per_node
    }
}

/// What is said, left open and wished of the placement.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// Tensor-parallel ranks.
    pub tp: Choice<u64>,
    /// Pipeline stages.
    pub pp: Choice<u64>,
    /// Replicas.
    pub dp: Choice<u64>,
    /// ZeRO stage.
    pub zero: Choice<u64>,
    /// Sequences a rank works on at once.
    pub micro_batch: Choice<u64>,
    /// `none` or `full`.
    pub recompute: Choice<String>,
    /// Whether the residual stream is sharded over the sequence.
    pub sequence_parallel: Choice<bool>,
    /// Laws that mention the placement or its figures (those that do not were checked by the language).
    pub requirements: Vec<Requirement>,
    /// What to make small or large, in order; empty means the step time.
    pub objectives: Vec<Objective>,
    /// Whose lowering is planned: `pleach` or `neox`.
    pub engine: String,
}
