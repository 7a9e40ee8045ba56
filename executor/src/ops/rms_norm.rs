//! RMSNorm over the last dimension.

use tch::{TchError, Tensor};

use super::{wide, width};
use crate::native::{Result, kernels};

/// `y`, and one over the root of each row's mean square.
pub fn forward(x: &Tensor, weight: &Tensor, eps: f64) -> Result<[Tensor; 2]> {
    fits(x, &[x], &[weight], &[])?;
    let mut rows = x.size();
    rows.pop();
    let y = Tensor::f_empty(x.size(), (x.kind(), x.device()))?;
    let rstd = Tensor::f_empty(rows, (wide(x.kind()), x.device()))?;
    kernels::rms_norm(x, weight, [&y, &rstd], eps)?;
    Ok([y, rstd])
}

/// `dx`; the gradient of the weight is added to its accumulator.
pub fn backward(
    dy: &Tensor,
    x: &Tensor,
    weight: &Tensor,
    rstd: &Tensor,
    dweight: &Tensor,
) -> Result<Tensor> {
    fits(x, &[dy], &[weight, dweight], &[rstd])?;
    let dx = Tensor::f_empty(x.size(), (x.kind(), x.device()))?;
    kernels::rms_norm_backward([dy, x, weight, rstd], &dx)?;
    kernels::norm_parameters([dy, x], None, rstd, dweight, None)?;
    Ok(dx)
}

fn fits(x: &Tensor, wholes: &[&Tensor], columns: &[&Tensor], rows: &[&Tensor]) -> Result<()> {
    let count = x.numel() / (width(x).max(1) as usize);
    let fits = wholes.iter().all(|whole| whole.numel() == x.numel())
        && columns.iter().all(|one| one.numel() as i64 == width(x))
        && rows.iter().all(|one| one.numel() == count);
    match fits {
        true => Ok(()),
        false => Err(TchError::Shape(format!(
            "weight, statistic or gradients do not fit rows of {:?}",
            x.size()
        ))),
    }
}
