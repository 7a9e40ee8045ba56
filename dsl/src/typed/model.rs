//! The typed model.

use super::{count, real, text};
use crate::evaluate::Value;
use crate::experiment::{Init, Mlp, Model, Norm, Positions, Residual};
use crate::resolve::Resolver;

/// The model.
pub fn model(resolver: &mut Resolver) -> Option<Model> {
    Some(Model {
        layers: count(resolver, "model.layers")?,
        hidden: count(resolver, "model.hidden")?,
        heads: count(resolver, "model.heads")?,
        head_dim: count(resolver, "model.head_dim")?,
        context: count(resolver, "model.context")?,
        vocab: count(resolver, "model.vocab")?,
        positions: positions(resolver)?,
        residual: residual(resolver)?,
        norm: Norm::LayerNorm {
            eps: real(resolver, "model.norm.eps")?,
        },
        mlp: Mlp::Gelu {
            width: count(resolver, "model.mlp.width")?,
        },
        tied: resolver.known("model.tied")?.value == Value::Truth(true),
        init: init(resolver)?,
    })
}

fn positions(resolver: &mut Resolver) -> Option<Positions> {
    match resolver.kind("model.positions")?.as_str() {
        "rotary" => Some(Positions::Rotary {
            fraction: real(resolver, "model.positions.fraction")?,
            base: real(resolver, "model.positions.base")?,
        }),
        _ => Some(Positions::None),
    }
}

fn residual(resolver: &mut Resolver) -> Option<Residual> {
    if resolver.kind("model.residual")? == "sequential" {
        return Some(Residual::Sequential);
    }
    let shared = text(resolver, "model.residual.norms")? == "shared";
    Some(if shared {
        Residual::ParallelShared
    } else {
        Residual::ParallelSeparate
    })
}

/// Standard deviations, computed from width and depth where the kind says so.
fn init(resolver: &mut Resolver) -> Option<Init> {
    if resolver.kind("model.init")? == "normal" {
        return Some(Init {
            weights: real(resolver, "model.init.std")?,
            output: real(resolver, "model.init.output")?,
        });
    }
    let hidden = real(resolver, "model.hidden")?;
    let layers = real(resolver, "model.layers")?;
    let weights = libm::sqrt(2.0 / (5.0 * hidden));
    let wang = text(resolver, "model.init.output")? == "wang_init";
    Some(Init {
        weights,
        output: if wang {
            2.0 / (layers * libm::sqrt(hidden))
        } else {
            weights
        },
    })
}
