//! The model of an experiment.

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
