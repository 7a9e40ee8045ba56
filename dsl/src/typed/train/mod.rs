//! The typed training.

mod phases;
mod rate;

use num_traits::ToPrimitive;

use super::{count, real, text, truth};
use crate::evaluate::Value;
use crate::experiment::{
    AdamW, Decays, Float, Loss, LossScale, NotFinite, Optimizer, Precision, Rate, Sums, Train,
};
use crate::quantity::to_f64;
use crate::resolve::Resolver;

/// How the model is trained.
pub fn train(resolver: &mut Resolver) -> Option<Train> {
    let phases = phases::phases(resolver)?;
    let context = resolver.known("model.context")?;
    let global_batch = match phases.first() {
        Some(phase) => phase.global_batch,
        None => (resolver.known("train.global_batch")?.number()? / context.number()?)
            .to_integer()
            .to_u64()?,
    };
    let lr = match phases.first().map(|phase| phase.rate) {
        Some(Rate::Segment(_)) => None,
        Some(Rate::Whole) | None => Some(rate::learning_rate(resolver)?),
    };
    Some(Train {
        steps: count(resolver, "train.steps")?,
        global_batch,
        optimizer: optimizer(resolver)?,
        lr,
        clip: resolver.known("train.clip")?.number().map(to_f64),
        precision: precision(resolver)?,
        accumulate: Float::of(&text(resolver, "train.accumulate")?)?,
        reduce: Float::of(&text(resolver, "train.reduce")?)?,
        loss: Loss {
            z_loss: real(resolver, "train.loss.z_loss")?,
            label_smoothing: real(resolver, "train.loss.label_smoothing")?,
        },
        sums: sums(resolver)?,
        not_finite: not_finite(resolver)?,
        phases,
        part: None,
    })
}

fn precision(resolver: &mut Resolver) -> Option<Precision> {
    Some(match resolver.kind("train.precision")?.as_str() {
        "fp64" => Precision::Fp64,
        "fp32" => Precision::Fp32,
        "bf16" => Precision::Bf16,
        _ => Precision::Fp16(LossScale {
            fixed: resolver
                .known("train.precision.scale")?
                .number()
                .map(to_f64),
            initial: real(resolver, "train.precision.initial_scale")?,
            window: count(resolver, "train.precision.window")?,
            hysteresis: count(resolver, "train.precision.hysteresis")?,
            least: real(resolver, "train.precision.min_scale")?,
        }),
    })
}

fn sums(resolver: &mut Resolver) -> Option<Sums> {
    Some(match resolver.kind("train.sums")?.as_str() {
        "reproducible" => Sums::Reproducible {
            lanes: count(resolver, "train.sums.lanes")?,
        },
        _ => Sums::Fast,
    })
}

fn not_finite(resolver: &mut Resolver) -> Option<NotFinite> {
    Some(match resolver.kind("train.not_finite")?.as_str() {
        "skip" => NotFinite::Skip {
            in_a_row: count(resolver, "train.not_finite.in_a_row")?,
        },
        "roll_back" => NotFinite::RollBack {
            times: count(resolver, "train.not_finite.times")?,
        },
        _ => NotFinite::Halt,
    })
}

fn optimizer(resolver: &mut Resolver) -> Option<Optimizer> {
    let field = |name: &str| format!("train.optimizer.{name}");
    let weight_decay = real(resolver, &field("weight_decay"))?;
    let decays = Decays {
        embeddings: truth(resolver, &field("decay_embeddings"))?,
        biases: truth(resolver, &field("decay_biases"))?,
        norms: truth(resolver, &field("decay_norms"))?,
    };
    Some(match resolver.kind("train.optimizer")?.as_str() {
        "sgd" => Optimizer::Sgd {
            momentum: real(resolver, &field("momentum"))?,
            nesterov: truth(resolver, &field("nesterov"))?,
            weight_decay,
            decays,
        },
        "lion" => Optimizer::Lion {
            betas: betas(resolver)?,
            weight_decay,
            decays,
        },
        kind => {
            let adam = AdamW {
                betas: betas(resolver)?,
                eps: real(resolver, &field("eps"))?,
                weight_decay,
                decays,
            };
            if kind == "adam" {
                Optimizer::Adam(adam)
            } else {
                Optimizer::AdamW(adam)
            }
        }
    })
}

fn betas(resolver: &mut Resolver) -> Option<[f64; 2]> {
    let Value::List(betas) = resolver.known("train.optimizer.betas")?.value else {
        return None;
    };
    let beta = |index: usize| match betas.get(index) {
        Some(Value::Number(number)) => Some(number.to_f64()),
        _ => None,
    };
    Some([beta(0)?, beta(1)?])
}
