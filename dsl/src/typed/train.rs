//! The typed training and its checkpoints.

use num_traits::ToPrimitive;

use super::{count, real, text};
use crate::evaluate::Value;
use crate::experiment::{AdamW, Checkpoints, LearningRate, Precision, Train};
use crate::quantity::to_f64;
use crate::resolve::Resolver;

/// How the model is trained.
pub fn train(resolver: &mut Resolver) -> Option<Train> {
    let context = resolver.known("model.context")?;
    let batch = resolver.known("train.global_batch")?;
    Some(Train {
        steps: count(resolver, "train.steps")?,
        global_batch: (batch.number()? / context.number()?)
            .to_integer()
            .to_u64()?,
        optimizer: optimizer(resolver)?,
        lr: learning_rate(resolver)?,
        clip: resolver.known("train.clip")?.number().map(to_f64),
        precision: match text(resolver, "train.precision")?.as_str() {
            "fp64" => Precision::Fp64,
            "fp32" => Precision::Fp32,
            "bf16" => Precision::Bf16,
            _ => Precision::Fp16,
        },
    })
}

fn optimizer(resolver: &mut Resolver) -> Option<AdamW> {
    let Value::List(betas) = resolver.known("train.optimizer.betas")?.value else {
        return None;
    };
    let beta = |index: usize| match betas.get(index) {
        Some(Value::Number(number)) => Some(number.to_f64()),
        _ => None,
    };
    Some(AdamW {
        betas: [beta(0)?, beta(1)?],
        eps: real(resolver, "train.optimizer.eps")?,
        weight_decay: real(resolver, "train.optimizer.weight_decay")?,
    })
}

fn learning_rate(resolver: &mut Resolver) -> Option<LearningRate> {
    let peak = real(resolver, "train.lr.peak")?;
    let warmup = count(resolver, "train.lr.warmup")?;
    match resolver.kind("train.lr")?.as_str() {
        "constant" => Some(LearningRate::Constant { peak, warmup }),
        _ => Some(LearningRate::Cosine {
            peak,
            end: real(resolver, "train.lr.end")?,
            warmup,
        }),
    }
}

/// When it is saved.
pub fn checkpoints(resolver: &mut Resolver) -> Option<Checkpoints> {
    let every = resolver.known("checkpoints.every")?.count();
    Some(Checkpoints {
        every,
        keep: u32::try_from(count(resolver, "checkpoints.keep")?).ok()?,
    })
}
