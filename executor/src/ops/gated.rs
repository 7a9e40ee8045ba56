//! The gated product of a feed-forward half, without a storage beside its results.

use pleach_plan::Activation;
use tch::Tensor;

use super::activation;
use crate::native::Result;

/// `y = f(gate) up`.
pub fn forward(kind: Activation, gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    activation::forward(kind, gate, false)?.f_mul_(up)
}

/// `(dgate, dup)`.
pub fn backward(kind: Activation, dy: &Tensor, gate: &Tensor, up: &Tensor) -> Result<[Tensor; 2]> {
    let dup = forward(kind, gate, dy)?;
    let product = dy.f_mul(up)?;
    let dgate = activation::backward_into(kind, &product, &product, gate)?;
    Ok([dgate, dup])
}
