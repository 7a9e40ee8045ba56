//! Sending tokens to experts: rows by index, sorted by expert, then by position.

use tch::Tensor;

use super::width;
use crate::native::Result;

/// For each row of each sequence which of the sequence's choices it belongs to: `[B, S * J]`.
pub fn order(choice: &Tensor) -> Result<Tensor> {
    let flat = choice.f_view([choice.size3()?.0, -1])?;
    flat.f_argsort_stable(true, -1, false)
}

/// `rows[b, r] = x[b, index[b, r]]`.
fn pick(x: &Tensor, index: &Tensor) -> Result<Tensor> {
    let index = index.f_unsqueeze(-1)?;
    let wide = index.f_expand([-1, -1, width(x)], false)?;
    x.f_gather(1, &wide, false)
}

/// `rows[b, r] = x[b, position of r]`.
pub fn forward(x: &Tensor, choice: &Tensor) -> Result<Tensor> {
    let active = width(choice);
    let positions = order(choice)?.f_floor_divide_scalar_(active)?;
    pick(x, &positions)
}

/// Rows in the order of the choices: `[B, S, J, H]`.
pub fn unsorted(rows: &Tensor, choice: &Tensor) -> Result<Tensor> {
    let places = order(choice)?.f_argsort(-1, false)?;
    let (batch, positions, active) = choice.size3()?;
    pick(rows, &places)?.f_view([batch, positions, active, width(rows)])
}

/// `dx[b, s]`: the sum over the rows of `s`.
pub fn backward(drows: &Tensor, choice: &Tensor) -> Result<Tensor> {
    unsorted(drows, choice)?.f_sum_dim_intlist([2i64].as_slice(), false, drows.kind())
}
