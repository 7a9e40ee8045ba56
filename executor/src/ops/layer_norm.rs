//! LayerNorm over the last dimension.

use tch::{TchError, Tensor};

use super::width;
use crate::native::{Result, kernels};

/// `y`, the mean of each row and one over its deviation.
pub fn forward(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<[Tensor; 3]> {
    let (y, mean, rstd) = x.f_native_layer_norm([width(x)], Some(weight), bias, eps)?;
    Ok([y, mean.f_squeeze_dim(-1)?, rstd.f_squeeze_dim(-1)?])
}

/// `dx`; the gradients of weight and, where there is one, bias are added to their accumulators.
pub fn backward(
    dy: &Tensor,
    x: &Tensor,
    weight: &Tensor,
    statistics: [&Tensor; 2],
    (dweight, dbias): (&Tensor, Option<&Tensor>),
) -> Result<Tensor> {
    let rows = x.numel() / (width(x).max(1) as usize);
    let fits = dy.numel() == x.numel()
        && statistics.iter().all(|one| one.numel() == rows)
        && std::iter::once(dweight)
            .chain(dbias)
            .all(|one| one.numel() as i64 == width(x));
    if !fits {
        return Err(TchError::Shape(format!(
            "statistics or gradients do not fit rows of {:?}",
            x.size()
        )));
    }
    let [mean, rstd] = statistics;
    kernels::norm_parameters([dy, x], Some(mean), rstd, dweight, dbias)?;
    let [mean, rstd] = [
        statistics[0].f_unsqueeze(-1)?,
        statistics[1].f_unsqueeze(-1)?,
    ];
    kernels::layer_norm_backward(dy, x, &mean, &rstd, weight)
}
