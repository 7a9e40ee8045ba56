//! The optimizer's update: libtorch's fused Adam, whose weight decay is part of the gradient, on flat storages.

use pleach_plan::Op;
use tch::Tensor;

use super::adam_w::{Step, other, scale};
use crate::native::{Result, updates};

/// Scales the gradient in place, then updates weight and moments.
pub fn run(op: &Op, factor: f64, state: [&Tensor; 4], step: Step) -> Result<()> {
    let &Op::Adam {
        beta1,
        beta2,
        eps,
        weight_decay,
    } = op
    else {
        return Err(other(op, "adam"));
    };
    let constants = updates::Adam {
        rate: step.rate,
        betas: [beta1, beta2],
        eps,
        weight_decay,
        decoupled: false,
    };
    scale(state[3], factor)?;
    updates::adam(state, step.number + 1, &constants)
}
