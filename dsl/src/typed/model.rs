//! The model of the tree as typed parts.

use super::{count, real, text};
use crate::evaluate::Value;
use crate::experiment::{
    Activation, Attention, Dense, Embedding, Experts, Head, Init, Layer, Mamba, Mixer, Mlp, Model,
    Norm, Positions, Residual, Spread,
};
use crate::resolve::Resolver;

/// Builds the model.
pub fn model(resolver: &mut Resolver) -> Option<Model> {
    let stack = resolver.tree.find("model.stack")?;
    let nodes = resolver.layers(stack)?;
    let mut builder = Builder {
        resolver,
        shares: Vec::new(),
    };
    let mut kinds: Vec<Layer> = Vec::new();
    let mut known = std::collections::BTreeMap::new();
    let mut order = Vec::with_capacity(nodes.len());
    for node in nodes {
        if let Some(index) = known.get(&node) {
            order.push(*index);
            continue;
        }
        let path = builder.resolver.tree.node(node).path.clone();
        let layer = builder.layer(&path)?;
        let index = kinds.iter().position(|kind| *kind == layer);
        let index = index.unwrap_or_else(|| {
            kinds.push(layer);
            kinds.len() - 1
        });
        known.insert(node, index);
        order.push(index);
    }
    let embedding = builder.embedding()?;
    let head = builder.head()?;
    Some(Model {
        hidden: count(resolver, "model.hidden")?,
        context: count(resolver, "model.context")?,
        vocab: count(resolver, "model.vocab")?,
        embedding,
        init: init(resolver, order.len() as f64)?,
        kinds,
        order,
        head,
        dropout: real(resolver, "model.dropout")?,
        tied: truth(resolver, "model.tied")?,
        weights: text(resolver, "model.weights"),
    })
}

fn truth(resolver: &mut Resolver, path: &str) -> Option<bool> {
    match resolver.known(path)?.value {
        Value::Truth(truth) => Some(truth),
        _ => None,
    }
}

/// A number that a word can stand in for.
fn or_word<T>(
    resolver: &mut Resolver,
    path: &str,
    number: fn(&mut Resolver, &str) -> Option<T>,
) -> Option<Option<T>> {
    match resolver.known(path)?.value {
        Value::Word(_) => Some(None),
        _ => number(resolver, path).map(Some),
    }
}

/// Parts under construction; names of `share` become numbers, so that they mean nothing by themselves.
struct Builder<'run, 'files> {
    resolver: &'run mut Resolver<'files>,
    shares: Vec<String>,
}

impl Builder<'_, '_> {
    fn embedding(&mut self) -> Option<Embedding> {
        let learned = self.resolver.kind("model.positions")? == "learned";
        Some(Embedding {
            positions: match learned {
                true => Some(count(self.resolver, "model.positions.rows")?),
                false => None,
            },
            norm: self.norm("model.embedding.norm")?,
            scale: real(self.resolver, "model.embedding.scale")?,
        })
    }

    fn head(&mut self) -> Option<Head> {
        Some(Head {
            norm: self.norm("model.head.norm")?,
            bias: truth(self.resolver, "model.head.bias")?,
            cap: or_word(self.resolver, "model.head.cap", real)?,
        })
    }

    fn layer(&mut self, path: &str) -> Option<Layer> {
        Some(Layer {
            mixer: self.mixer(&format!("{path}.mixer"))?,
            mlp: self.mlp(&format!("{path}.mlp"))?,
            residual: self.residual(&format!("{path}.residual"))?,
            norm: self.norm(&format!("{path}.norm"))?,
            share: self.share(path),
        })
    }

    /// The number of a part's `share`.
    fn share(&mut self, path: &str) -> Option<usize> {
        let name = text(self.resolver, &format!("{path}.share"))?;
        let known = self.shares.iter().position(|other| *other == name);
        Some(known.unwrap_or_else(|| {
            self.shares.push(name);
            self.shares.len() - 1
        }))
    }

    fn mixer(&mut self, path: &str) -> Option<Mixer> {
        let at = |field: &str| format!("{path}.{field}");
        match self.resolver.kind(path)?.as_str() {
            "attention" => Some(Mixer::Attention(Attention {
                heads: count(self.resolver, &at("heads"))?,
                kv_heads: count(self.resolver, &at("kv_heads"))?,
                head_dim: count(self.resolver, &at("head_dim"))?,
                positions: self.positions(&at("positions"))?,
                window: or_word(self.resolver, &at("window"), count)?,
                bias: truth(self.resolver, &at("bias"))?,
                output_bias: truth(self.resolver, &at("output_bias"))?,
                qk_norm: self.norm(&at("qk_norm"))?,
                share: self.share(path),
            })),
            "mamba" => Some(Mixer::Mamba(Mamba {
                state: count(self.resolver, &at("state"))?,
                expand: count(self.resolver, &at("expand"))?,
                conv: count(self.resolver, &at("conv"))?,
                dt_rank: count(self.resolver, &at("dt_rank"))?,
                bias: truth(self.resolver, &at("bias"))?,
                conv_bias: truth(self.resolver, &at("conv_bias"))?,
                share: self.share(path),
            })),
            _ => Some(Mixer::None),
        }
    }

    /// Learned positions are a table of the embedding's, so attention itself has none.
    fn positions(&mut self, path: &str) -> Option<Positions> {
        let at = |field: &str| format!("{path}.{field}");
        match self.resolver.kind(path)?.as_str() {
            "rotary" => Some(Positions::Rotary {
                fraction: real(self.resolver, &at("fraction"))?,
                base: real(self.resolver, &at("base"))?,
                scale: real(self.resolver, &at("scale"))?,
            }),
            "alibi" => Some(Positions::Alibi),
            _ => Some(Positions::None),
        }
    }

    fn residual(&mut self, path: &str) -> Option<Residual> {
        let norms = text(self.resolver, &format!("{path}.norms"))?;
        Some(match norms.as_str() {
            "before" => Residual::Sequential,
            "after" => Residual::SequentialAfter,
            "both" => Residual::Sandwich,
            "output" => Residual::SequentialOutput,
            "shared" => Residual::ParallelShared,
            _ => Residual::ParallelSeparate,
        })
    }

    fn norm(&mut self, path: &str) -> Option<Norm> {
        let eps = format!("{path}.eps");
        match self.resolver.kind(path)?.as_str() {
            "layernorm" => Some(Norm::LayerNorm {
                eps: real(self.resolver, &eps)?,
                bias: truth(self.resolver, &format!("{path}.bias"))?,
            }),
            "rmsnorm" => Some(Norm::RmsNorm {
                eps: real(self.resolver, &eps)?,
            }),
            _ => Some(Norm::None),
        }
    }

    fn mlp(&mut self, path: &str) -> Option<Mlp> {
        match self.resolver.kind(path)?.as_str() {
            "none" => Some(Mlp::None),
            "moe" => self.experts(path).map(Mlp::Experts),
            _ => self.dense(path).map(Mlp::Dense),
        }
    }

    fn dense(&mut self, path: &str) -> Option<Dense> {
        let at = |field: &str| format!("{path}.{field}");
        Some(Dense {
            activation: match self.resolver.kind(path)?.as_str() {
                "relu" => Activation::Relu,
                "swiglu" => Activation::Swiglu,
                "geglu" => Activation::Geglu,
                _ if text(self.resolver, &at("form"))? == "tanh" => Activation::GeluTanh,
                _ => Activation::Gelu,
            },
            width: count(self.resolver, &at("width"))?,
            bias: truth(self.resolver, &at("bias"))?,
            share: self.share(path),
        })
    }

    fn experts(&mut self, path: &str) -> Option<Experts> {
        let at = |field: &str| format!("{path}.{field}");
        Some(Experts {
            experts: count(self.resolver, &at("experts"))?,
            active: count(self.resolver, &at("active"))?,
            always: count(self.resolver, &at("always"))?,
            expert: self.dense(&at("expert"))?,
            capacity: or_word(self.resolver, &at("capacity"), real)?,
            balance_loss: real(self.resolver, &at("balance_loss"))?,
            router_z_loss: real(self.resolver, &at("router_z_loss"))?,
            share: self.share(path),
        })
    }
}

/// How weights begin, computed from width and depth where the kind says so.
fn init(resolver: &mut Resolver, layers: f64) -> Option<Init> {
    let kind = resolver.kind("model.init")?;
    if kind == "normal" {
        return Some(Init {
            weights: Spread::Normal(real(resolver, "model.init.std")?),
            output: Spread::Normal(real(resolver, "model.init.output")?),
        });
    }
    let hidden = real(resolver, "model.hidden")?;
    let spread = |word: &str| match word {
        "small_init" => Spread::Normal(libm::sqrt(2.0 / (5.0 * hidden))),
        "wang_init" => Spread::Normal(2.0 / (layers * libm::sqrt(hidden))),
        "xavier_normal" => Spread::XavierNormal,
        "orthogonal" => Spread::Orthogonal(libm::sqrt(2.0)),
        "scaled_orthogonal" => Spread::Orthogonal(libm::sqrt(2.0 / layers)),
        _ => Spread::XavierUniform,
    };
    Some(Init {
        weights: spread(&kind),
        output: spread(&text(resolver, "model.init.output")?),
    })
}
