//! The optimizer's update: libtorch's fused AdamW on flat storages.

use pleach_plan::Op;
use tch::Tensor;

use crate::native::{Result, updates};

/// What an update takes from the step it belongs to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Updates made before, counted over the whole run.
    pub number: u64,
    /// What the loss is multiplied with before gradients are taken; 1 where it is not.
    pub loss_scale: f64,
    /// Learning rate.
    pub rate: f64,
}

/// Scales the gradient in place, then updates weight and moments.
pub fn run(op: &Op, factor: f64, state: [&Tensor; 4], step: Step) -> Result<()> {
    let &Op::AdamW {
        beta1,
        beta2,
        eps,
        weight_decay,
    } = op
    else {
        return Err(other(op, "adam_w"));
    };
    let constants = updates::Adam {
        rate: step.rate,
        betas: [beta1, beta2],
        eps,
        weight_decay,
        decoupled: true,
    };
    scale(state[3], factor)?;
    updates::adam(state, step.number + 1, &constants)
}

/// Scales a gradient in place.
pub(super) fn scale(gradient: &Tensor, factor: f64) -> Result<()> {
    if factor != 1.0 {
        let _ = gradient.shallow_clone().f_mul_scalar_(factor)?;
    }
    Ok(())
}

/// An operation that is not the one wanted.
pub(super) fn other(op: &Op, wanted: &str) -> tch::TchError {
    tch::TchError::Kind(format!("{} is not {wanted}", op.name()))
}
