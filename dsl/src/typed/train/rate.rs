//! The typed learning rate.

use super::super::{count, real, text};
use crate::experiment::{Decay, LearningRate, Shape, Version};
use crate::resolve::Resolver;

/// The schedule at the top of `train`.
pub fn learning_rate(resolver: &mut Resolver) -> Option<LearningRate> {
    Some(LearningRate {
        peak: real(resolver, "train.lr.peak")?,
        warmup: count(resolver, "train.lr.warmup")?,
        shape: shape(resolver)?,
        version: match text(resolver, "train.lr.version").as_deref() {
            Some("neox_v1") => Version::NeoxV1,
            Some("neox_2026") => Version::Neox2026,
            _ => Version::Plain,
        },
    })
}

fn shape(resolver: &mut Resolver) -> Option<Shape> {
    let kind = resolver.kind("train.lr")?;
    if kind == "constant" {
        return Some(Shape::Constant);
    }
    let end = real(resolver, "train.lr.end")?;
    if kind == "inverse_sqrt" {
        return Some(Shape::InverseSqrt { end });
    }
    let over = count(resolver, "train.lr.over")?;
    Some(match kind.as_str() {
        "linear" => Shape::Linear { end, over },
        "exponential" => Shape::Exponential { end, over },
        "wsd" => Shape::Wsd {
            end,
            over,
            decay: count(resolver, "train.lr.decay")?,
            shape: decay(&text(resolver, "train.lr.shape")?),
        },
        _ => Shape::Cosine { end, over },
    })
}

/// The decay of a word.
pub fn decay(word: &str) -> Decay {
    match word {
        "cosine" => Decay::Cosine,
        "exponential" => Decay::Exponential,
        "sqrt" => Decay::Sqrt,
        _ => Decay::Linear,
    }
}
