//! A transformer whose layers are all alike, by its sizes: what tests and comparisons with published runs are made of.
//!
//! In come sizes, out comes a [`Model`] as the language would give it.

use pleach_dsl::experiment::{
    Activation, Attention, Dense, Embedding, Head, Init, Layer, Mixer, Mlp, Model, Norm, Positions,
    Residual, Spread,
};

/// A transformer of one kind of layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Number of layers.
    pub layers: u64,
    /// Width of the residual stream.
    pub hidden: u64,
    /// Positions of a sequence, in tokens.
    pub context: u64,
    /// Vocabulary rows.
    pub vocab: u64,
    /// What mixes positions.
    pub attention: Attention,
    /// What works on each position alone.
    pub dense: Dense,
    /// How the two halves meet.
    pub residual: Residual,
    /// Every norm of layers.
    pub norm: Norm,
    /// Between token ids and the first layer.
    pub embedding: Embedding,
    /// Between the last layer and the logits.
    pub head: Head,
    /// Whether the head reads the embedding's matrix.
    pub tied: bool,
    /// Standard deviations of the initial weights.
    pub init: Init,
}

impl Shape {
    /// A model of GPT-NeoX's kind, of so many layers, width, heads, positions and vocabulary rows: a quarter of each head
    /// rotated, both halves side by side, four times the width between the feed-forward matrices.
    pub fn neox([layers, hidden, heads, context, vocab]: [u64; 5]) -> Shape {
        let norm = Norm::LayerNorm {
            eps: 1e-5,
            bias: true,
        };
        let small = libm::sqrt(2.0 / (5.0 * hidden as f64));
        Shape {
            layers,
            hidden,
            context,
            vocab,
            attention: Attention {
                heads,
                kv_heads: heads,
                head_dim: hidden.checked_div(heads).unwrap_or(0),
                positions: Positions::Rotary {
                    fraction: 0.25,
                    base: 1e4,
                    scale: 1.0,
                },
                window: None,
                bias: true,
                output_bias: true,
                qk_norm: Norm::None,
                share: None,
            },
            dense: Dense {
                activation: Activation::Gelu,
                width: 4 * hidden,
                bias: true,
                share: None,
            },
            residual: Residual::ParallelSeparate,
            norm,
            embedding: Embedding {
                positions: None,
                norm: Norm::None,
                scale: 1.0,
            },
            head: Head {
                norm,
                bias: false,
                cap: None,
            },
            tied: false,
            init: Init {
                weights: Spread::Normal(small),
                output: Spread::Normal(2.0 / (layers as f64 * libm::sqrt(hidden as f64))),
            },
        }
    }

    /// The model of a shape.
    pub fn model(&self) -> Model {
        Model {
            hidden: self.hidden,
            context: self.context,
            vocab: self.vocab,
            embedding: self.embedding,
            kinds: vec![Layer {
                mixer: Mixer::Attention(self.attention.clone()),
                mlp: Mlp::Dense(self.dense.clone()),
                residual: self.residual,
                norm: self.norm,
                share: None,
            }],
            order: vec![0; usize::try_from(self.layers).expect("layers are few")],
            head: self.head,
            dropout: 0.0,
            tied: self.tied,
            init: self.init,
            weights: None,
        }
    }
}
