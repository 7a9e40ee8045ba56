//! LayerNorm over the last dimension.

use tch::Tensor;

use super::width;
use crate::native::{Result, kernels};

/// `y`, the mean of each row and one over its deviation.
pub fn forward(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<[Tensor; 3]> {
    let (y, mean, rstd) = x.f_native_layer_norm([width(x)], Some(weight), Some(bias), eps)?;
    Ok([y, mean.f_squeeze_dim(-1)?, rstd.f_squeeze_dim(-1)?])
}

/// `dx`; the gradients of weight and bias are added to their accumulators.
pub fn backward(
    dy: &Tensor,
    x: &Tensor,
    weight: &Tensor,
    statistics: [&Tensor; 2],
    accumulators: [&Tensor; 2],
) -> Result<Tensor> {
    let [mean, rstd] = statistics.map(|one| one.unsqueeze(-1));
    let [dx, dweight, dbias] = kernels::layer_norm_backward(dy, x, &mean, &rstd, weight)?;
    for (accumulator, gradient) in accumulators.into_iter().zip([dweight, dbias]) {
        let _ = accumulator.shallow_clone().f_add_(&gradient)?;
    }
    Ok(dx)
}
