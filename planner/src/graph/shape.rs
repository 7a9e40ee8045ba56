//! What of a model the operations of this version can express: layers whose parameters are alike, attention of every kind of head, position and
//! window that the language has (but not ALiBi in a window), a feed-forward half with or without a gate, norms wherever they may stand.
//!
//! The language says more than that; [`Shape::of`] lists what of a model is beyond it, so that planning refuses it by name.

use pleach_dsl::experiment::{
    Activation, Attention, Dense, Embedding, Head, Init, Layer, Mixer, Mlp, Model, Norm, Positions,
    Residual,
};

use super::weights;
use crate::support::Unsupported;

/// A transformer, as far as one kind of its layers sees it.
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
                weights: small,
                output: 2.0 / (layers as f64 * libm::sqrt(hidden as f64)),
            },
        }
    }

    /// The shape of a model and its first kind of layers, or all that is beyond this version.
    ///
    /// # Errors
    /// A part of the model has no operations yet.
    pub fn of(model: &Model) -> Result<Shape, Vec<Unsupported>> {
        let mut beyond = Beyond::default();
        beyond.around(model);
        for layer in &model.kinds {
            beyond.layer(layer);
        }
        let mut kinds = model.kinds.iter();
        let first = kinds.next();
        let parameters = |layer| weights::layer(model, layer);
        let other = kinds.any(|layer| first.map(parameters) != Some(parameters(layer)));
        beyond.when(other, "model.stack", "layers with other parameters");
        match first.and_then(|layer| Shape::with(model, layer)) {
            Some(shape) if beyond.found.is_empty() => Ok(shape),
            _ => Err(beyond.found),
        }
    }

    fn with(model: &Model, layer: &Layer) -> Option<Shape> {
        let (Mixer::Attention(attention), Mlp::Dense(dense)) = (&layer.mixer, &layer.mlp) else {
            return None;
        };
        Some(Shape {
            layers: model.layers(),
            hidden: model.hidden,
            context: model.context,
            vocab: model.vocab,
            attention: attention.clone(),
            dense: dense.clone(),
            residual: layer.residual,
            norm: layer.norm,
            embedding: model.embedding,
            head: model.head,
            tied: model.tied,
            init: model.init,
        })
    }

    /// The shape of a model that was found to be within this version.
    ///
    /// # Panics
    /// It is not: `support::check` comes first.
    pub fn known(model: &Model) -> Shape {
        Shape::of(model).expect("a model is checked before it is planned")
    }

    /// The shapes of all kinds of its layers, in their order.
    ///
    /// # Panics
    /// The model is not within this version: `support::check` comes first.
    pub fn kinds(model: &Model) -> Vec<Shape> {
        let mut shapes = vec![Shape::known(model)];
        let others = model.kinds.iter().skip(1);
        shapes.extend(others.filter_map(|layer| Shape::with(model, layer)));
        shapes
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
        }
    }
}

/// What was found to be beyond this version.
#[derive(Default)]
struct Beyond {
    found: Vec<Unsupported>,
}

impl Beyond {
    fn when(&mut self, is: bool, path: &'static str, what: &'static str) {
        let same = |known: &Unsupported| known.what == what;
        if is && !self.found.iter().any(same) {
            self.found.push(Unsupported { path, what });
        }
    }

    /// What holds for the whole model.
    fn around(&mut self, model: &Model) {
        self.when(model.dropout > 0.0, "model.dropout", "dropout");
    }

    fn layer(&mut self, layer: &Layer) {
        self.when(layer.share.is_some(), "model.stack", "shared weights");
        match &layer.mixer {
            Mixer::Attention(attention) => self.attention(attention),
            Mixer::Mamba(_) => self.when(true, "model.stack", "Mamba"),
            Mixer::None => self.when(true, "model.stack", "a layer without a mixer"),
        }
        match &layer.mlp {
            Mlp::Dense(dense) => self.dense(dense),
            Mlp::Experts(_) => self.when(true, "model.mlp", "a mixture of experts"),
            Mlp::None => self.when(true, "model.stack", "a layer without a feed-forward half"),
        }
    }

    fn attention(&mut self, attention: &Attention) {
        let sloped = attention.positions == Positions::Alibi && attention.window.is_some();
        self.when(sloped, "model.window", "ALiBi in a window");
        let centred = matches!(attention.qk_norm, Norm::LayerNorm { .. });
        let what = "a layer norm of queries and keys";
        self.when(centred, "model.qk_norm", what);
        self.when(attention.share.is_some(), "model.stack", "shared weights");
    }

    fn dense(&mut self, dense: &Dense) {
        self.when(dense.share.is_some(), "model.stack", "shared weights");
    }
}
