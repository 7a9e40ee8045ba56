//! Matrix products of a linear layer, forward and both halves of backward.

use tch::Tensor;

use super::{rows, width};
use crate::native::Result;

/// `y = x weightᵀ`, plus the bias where there is one.
pub fn forward(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (matrix, transposed) = (rows(x)?, weight.f_tr()?);
    let y = match bias {
        Some(bias) => bias.f_addmm(&matrix, &transposed)?,
        None => matrix.f_mm(&transposed)?,
    };
    shaped_like(x, &y)
}

/// `dx = dy weight`.
pub fn backward_input(dy: &Tensor, weight: &Tensor) -> Result<Tensor> {
    shaped_like(dy, &rows(dy)?.f_mm(weight)?)
}

/// `dweight += dyᵀ x`, inside the matrix product where the accumulator has the operands' type.
pub fn backward_weight(dy: &Tensor, x: &Tensor, dweight: &Tensor) -> Result<()> {
    let (dy, x) = (rows(dy)?.f_tr()?, rows(x)?);
    let mut sum = dweight.shallow_clone();
    if dweight.kind() == x.kind() {
        let _ = sum.f_addmm_(&dy, &x)?;
    } else {
        let _ = sum.f_add_(&dy.f_mm(&x)?)?;
    }
    Ok(())
}

/// The rows of `y` under the leading dimensions of `x`.
fn shaped_like(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let mut dims = x.size();
    if let Some(last) = dims.last_mut() {
        *last = width(y);
    }
    y.f_view(dims.as_slice())
}
