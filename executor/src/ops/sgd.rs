//! The optimizer's update: gradient descent with momentum, in one pass over flat storages.

use pleach_plan::Op;
use tch::Tensor;

use super::adam_w::{Step, other, scale};
use crate::native::{Result, updates};

/// Scales the gradient in place, then updates momentum and weight.
pub fn run(op: &Op, factor: f64, state: [&Tensor; 3], step: Step) -> Result<()> {
    let &Op::Sgd {
        momentum,
        nesterov,
        weight_decay,
    } = op
    else {
        return Err(other(op, "sgd"));
    };
    let constants = updates::Sgd {
        rate: step.rate,
        momentum,
        nesterov,
        weight_decay,
    };
    scale(state[2], factor)?;
    updates::sgd(state, &constants)
}
