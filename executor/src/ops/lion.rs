//! The optimizer's update: Lion in one pass over flat storages.

use pleach_plan::Op;
use tch::Tensor;

use super::adam_w::{Step, other, scale};
use crate::native::{Result, updates};

/// Scales the gradient in place, then updates weight and momentum.
pub fn run(op: &Op, factor: f64, state: [&Tensor; 3], step: Step) -> Result<()> {
    let &Op::Lion {
        beta1,
        beta2,
        weight_decay,
    } = op
    else {
        return Err(other(op, "lion"));
    };
    let constants = updates::Lion {
        rate: step.rate,
        betas: [beta1, beta2],
        weight_decay,
    };
    scale(state[2], factor)?;
    updates::lion(state, &constants)
}
