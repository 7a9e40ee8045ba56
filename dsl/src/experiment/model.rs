//! The typed model: an embedding, layers built of parts, a head. Layers that are alike are kept once; [`Model::order`] says where they stand.

use serde::Serialize;

/// A decoder-only model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Model {
    /// Width of the residual stream.
    pub hidden: u64,
    /// Positions of a sequence, in tokens.
    pub context: u64,
    /// Vocabulary rows of the model.
    pub vocab: u64,
    /// Between token ids and the first layer.
    pub embedding: Embedding,
    /// The different layers, in the order of their first appearance.
    pub kinds: Vec<Layer>,
    /// For each layer of the model its index in [`Model::kinds`].
    pub order: Vec<usize>,
    /// Between the last layer and the logits.
    pub head: Head,
    /// Part of a branch that is dropped before it joins the residual stream.
    pub dropout: f64,
    /// Whether embedding and head share their table.
    pub tied: bool,
    /// How the weights begin.
    pub init: Init,
    /// Where the initial weights are taken from, instead of being drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<String>,
}

impl Model {
    /// Number of layers.
    pub fn layers(&self) -> u64 {
        self.order.len() as u64
    }

    /// The layer that all layers are like; none where they differ.
    pub fn uniform(&self) -> Option<&Layer> {
        match self.kinds.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }
}

/// Between token ids and the first layer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Embedding {
    /// Rows of a table of learned positions; none where positions enter elsewhere.
    pub positions: Option<u64>,
    /// A norm behind the embedding.
    pub norm: Norm,
    /// What the rows are multiplied by.
    pub scale: f64,
}

/// Between the last layer and the logits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Head {
    /// The norm in front.
    pub norm: Norm,
    /// Whether the logits have a bias.
    pub bias: bool,
    /// Logits are bent to stay below this.
    pub cap: Option<f64>,
}

/// One layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Layer {
    /// What mixes positions.
    pub mixer: Mixer,
    /// What works on each position alone.
    pub mlp: Mlp,
    /// How the two meet the residual stream.
    pub residual: Residual,
    /// The norm of each half.
    pub norm: Norm,
    /// Layers of the same number use one set of weights.
    pub share: Option<usize>,
}

/// What mixes positions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Mixer {
    /// Nothing.
    None,
    /// Causal softmax attention.
    Attention(Attention),
    /// A selective state space.
    Mamba(Mamba),
}

/// Causal softmax attention.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Attention {
    /// Heads of queries.
    pub heads: u64,
    /// Heads of keys and values.
    pub kv_heads: u64,
    /// Width of a head.
    pub head_dim: u64,
    /// How positions enter the scores.
    pub positions: Positions,
    /// How far back a position looks.
    pub window: Option<u64>,
    /// Whether queries, keys and values have a bias.
    pub bias: bool,
    /// Whether the output matrix has a bias.
    pub output_bias: bool,
    /// A norm of queries and keys, over the width of a head.
    pub qk_norm: Norm,
    /// Mixers of the same number use one set of weights.
    pub share: Option<usize>,
}

/// A selective state space (Mamba 1).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mamba {
    /// Numbers of state per channel.
    pub state: u64,
    /// Inner width over `hidden`.
    pub expand: u64,
    /// Width of the convolution.
    pub conv: u64,
    /// Rank of the step size's projection.
    pub dt_rank: u64,
    /// Whether the two projections have a bias.
    pub bias: bool,
    /// Whether the convolution has a bias.
    pub conv_bias: bool,
    /// Mixers of the same number use one set of weights.
    pub share: Option<usize>,
}

/// How positions enter attention.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum Positions {
    /// Not at all.
    None,
    /// Rotation of the first `fraction` of each head.
    Rotary {
        /// Part of the head that is rotated, between 0 and 1; `fraction * head_dim` is a whole even number.
        fraction: f64,
        /// Base of the frequencies.
        base: f64,
        /// What positions are divided by.
        scale: f64,
    },
    /// Scores fall with distance.
    Alibi,
}

/// How a layer's two halves meet the residual stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Residual {
    /// `x += mixer(norm(x)); x += mlp(norm(x))`.
    Sequential,
    /// `x = norm(x + mixer(x)); x = norm(x + mlp(x))`.
    SequentialAfter,
    /// `x += norm(mixer(norm(x))); x += norm(mlp(norm(x)))`.
    Sandwich,
    /// `x += norm(mixer(x)); x += norm(mlp(x))`.
    SequentialOutput,
    /// Both read the layer's input, each through its own norm: `x += mixer(norm1(x)) + mlp(norm2(x))`.
    ParallelSeparate,
    /// Both read the layer's input through one norm.
    ParallelShared,
}

/// A norm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum Norm {
    /// None.
    None,
    /// Mean and variance, weight and perhaps bias.
    LayerNorm {
        /// Added to the variance.
        eps: f64,
        /// Whether it has a bias.
        bias: bool,
    },
    /// Root mean square and weight.
    RmsNorm {
        /// Added to the mean square.
        eps: f64,
    },
}

/// The feed-forward half of a layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Mlp {
    /// None.
    None,
    /// Matrices with a nonlinearity between them.
    Dense(Dense),
    /// A router and experts.
    Experts(Experts),
}

/// Matrices with a nonlinearity between them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Dense {
    /// What is between them.
    pub activation: Activation,
    /// Width between them.
    pub width: u64,
    /// Whether they have a bias.
    pub bias: bool,
    /// Parts of the same number use one set of weights.
    pub share: Option<usize>,
}

/// What is between the matrices of a feed-forward half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Activation {
    /// GELU by the error function.
    Gelu,
    /// GELU by tanh.
    GeluTanh,
    /// ReLU.
    Relu,
    /// SiLU of one product times another.
    Swiglu,
    /// GELU of one product times another.
    Geglu,
}

impl Activation {
    /// Whether there are two matrices in front.
    pub fn is_gated(self) -> bool {
        matches!(self, Activation::Swiglu | Activation::Geglu)
    }
}

/// A mixture of experts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Experts {
    /// How many are routed to.
    pub experts: u64,
    /// How many a token is sent to.
    pub active: u64,
    /// How many see every token besides.
    pub always: u64,
    /// What an expert is.
    pub expert: Dense,
    /// Tokens an expert takes over the even share; none where no token is dropped.
    pub capacity: Option<f64>,
    /// Weight of the balancing loss.
    pub balance_loss: f64,
    /// Weight of the loss on the router's logits.
    pub router_z_loss: f64,
    /// Parts of the same number use one set of weights.
    pub share: Option<usize>,
}

/// How weights begin (biases start at zero, norms at one).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Init {
    /// Embedding, query-key-value, first feed-forward matrices, head.
    pub weights: Spread,
    /// Matrices that write to the residual stream.
    pub output: Spread,
}

/// How the numbers of a matrix are spread around zero.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum Spread {
    /// Normal, with a deviation from its rows and columns: `sqrt(2 / (rows + columns))`.
    XavierNormal,
    /// Evenly, as far as `sqrt(6 / (rows + columns))`.
    XavierUniform,
    /// At right angles, each row or column (whichever are fewer) as long as this.
    Orthogonal(f64),
    /// Normal, with this deviation.
    #[serde(untagged)]
    Normal(f64),
}
