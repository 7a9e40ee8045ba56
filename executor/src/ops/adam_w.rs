//! The optimizer's update: libtorch's fused AdamW on flat storages.

use pleach_plan::Op;
use tch::Tensor;

use crate::native::{Result, kernels};

/// What an update takes from the step it belongs to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Updates made before, counted over the whole run.
    pub number: u64,
    /// Learning rate.
    pub rate: f64,
}

/// Scales the gradient in place, then updates weight and moments.
pub fn run(op: &Op, factor: &Tensor, state: [&Tensor; 4], step: Step) -> Result<()> {
    let &Op::AdamW {
        beta1,
        beta2,
        eps,
        weight_decay,
    } = op
    else {
        return Err(tch::TchError::Kind(format!("{} is not adam_w", op.name())));
    };
    let [weight, m, v, gradient] = state;
    let factor = factor.f_double_value(&[0])?;
    if factor != 1.0 {
        let _ = gradient.shallow_clone().f_mul_scalar_(factor)?;
    }
    let constants = kernels::AdamW {
        rate: step.rate,
        beta1,
        beta2,
        eps,
        weight_decay,
    };
    kernels::adam_w(weight, gradient, m, v, step.number + 1, &constants)
}
