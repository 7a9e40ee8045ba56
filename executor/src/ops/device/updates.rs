//! Updates of flat storages on a device: libtorch's fused Adam, Lion and gradient descent of its plain operations. The factor that
//! limits the gradient stays on the device.

use pleach_plan::Op;
use tch::{Kind, Tensor};

use crate::native::{Result, updates};
use crate::ops::adam_w::{Step, other};

/// Scales the gradient in place, then updates weight and moments; where the factor is below zero nothing but the gradient changes.
pub fn run(op: &Op, factor: &Tensor, state: &[&Tensor], step: Step) -> Result<()> {
    if let Some(gradient) = state.last() {
        let _ = gradient
            .shallow_clone()
            .f_mul_(&factor.f_abs()?.f_to_kind(gradient.kind())?)?;
    }
    match (op, state) {
        (Op::AdamW { .. } | Op::Adam { .. }, &[weight, m, v, gradient]) => {
            let skipped = factor
                .f_lt(0.0)?
                .f_to_kind(Kind::Float)?
                .f_view([] as [i64; 0])?;
            adam(op, [weight, m, v, gradient], step, &skipped)
        }
        (
            &Op::Lion {
                beta1,
                beta2,
                weight_decay,
            },
            &[weight, m, gradient],
        ) => {
            let made = lion(
                [weight, m, gradient],
                [beta1, beta2],
                step.rate,
                weight_decay,
            )?;
            put([weight, m], made, factor)
        }
        (
            &Op::Sgd {
                momentum,
                nesterov,
                weight_decay,
            },
            &[weight, m, gradient],
        ) => {
            let state = [weight, m, gradient];
            let made = sgd(state, (momentum, nesterov), step.rate, weight_decay)?;
            put([weight, m], made, factor)
        }
        (op, _) => Err(other(op, "an update of so many storages")),
    }
}

/// Takes new values over where the factor is not below zero.
fn put(state: [&Tensor; 2], made: [Tensor; 2], factor: &Tensor) -> Result<()> {
    let applied = factor.f_ge(0.0)?;
    for (old, new) in state.into_iter().zip(made) {
        old.shallow_clone()
            .f_copy_(&new.f_where_self(&applied, old)?)?;
    }
    Ok(())
}

fn adam(op: &Op, state: [&Tensor; 4], step: Step, skipped: &Tensor) -> Result<()> {
    let (betas, eps, weight_decay, decoupled) = match *op {
        Op::AdamW {
            beta1,
            beta2,
            eps,
            weight_decay,
        } => ([beta1, beta2], eps, weight_decay, true),
        Op::Adam {
            beta1,
            beta2,
            eps,
            weight_decay,
        } => ([beta1, beta2], eps, weight_decay, false),
        _ => return Err(other(op, "adam")),
    };
    let constants = updates::Adam {
        rate: step.rate,
        betas,
        eps,
        weight_decay,
        decoupled,
    };
    updates::adam_unless(state, step.number + 1, &constants, Some(skipped))
}

/// The weight follows the sign of what momentum and gradient say together: both anew.
fn lion(
    [weight, m, gradient]: [&Tensor; 3],
    [share, kept]: [f64; 2],
    rate: f64,
    weight_decay: f64,
) -> Result<[Tensor; 2]> {
    let mut sign = m.f_lerp(gradient, 1.0 - share)?.f_sign_()?;
    let mut moved = weight.f_mul_scalar(1.0 - rate * weight_decay)?;
    let moved = moved.f_sub_(&sign.f_mul_scalar_(rate)?)?;
    Ok([moved, m.f_lerp(gradient, 1.0 - kept)?])
}

/// The weight follows the gradient, the momentum, or where the momentum leads: both anew.
fn sgd(
    [weight, m, gradient]: [&Tensor; 3],
    (momentum, nesterov): (f64, bool),
    rate: f64,
    weight_decay: f64,
) -> Result<[Tensor; 2]> {
    let seen = weight.f_mul_scalar(weight_decay)?.f_add_(gradient)?;
    let kept = m.f_mul_scalar(momentum)?.f_add_(&seen)?;
    let mut followed = match nesterov {
        true => seen.f_add(&kept.f_mul_scalar(momentum)?)?,
        false => kept.copy(),
    };
    Ok([weight.f_sub(&followed.f_mul_scalar_(rate)?)?, kept])
}
