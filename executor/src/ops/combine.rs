//! The weighted sum of what a token's experts gave.

use tch::Tensor;

use super::dispatch;
use crate::native::Result;

/// `y[b, s] = sum of weights[b, s, j] rows[b, row of (s, j)]`.
pub fn forward(rows: &Tensor, weights: &Tensor, choice: &Tensor) -> Result<Tensor> {
    let each = dispatch::unsorted(rows, choice)?;
    let scaled = each.f_mul(&weights.f_unsqueeze(-1)?)?;
    let sum = scaled.f_sum_dim_intlist([2i64].as_slice(), false, scaled.kind())?;
    sum.f_to_kind(rows.kind())
}

/// The gradients of rows and weights.
pub fn backward(
    dy: &Tensor,
    rows: &Tensor,
    weights: &Tensor,
    choice: &Tensor,
) -> Result<[Tensor; 2]> {
    let each = dispatch::unsorted(rows, choice)?;
    let along = each.f_mul(&dy.f_unsqueeze(2)?)?;
    let dweights = along.f_sum_dim_intlist([-1i64].as_slice(), false, weights.kind())?;
    drop((each, along));
    let order = dispatch::order(choice)?;
    let flat = weights.f_view(order.size().as_slice())?;
    let shares = flat.f_gather(1, &order, false)?.f_unsqueeze(-1)?;
    let drows = dispatch::forward(dy, choice)?.f_mul(&shares)?;
    Ok([
        drows.f_to_kind(rows.kind())?,
        dweights.f_to_kind(rows.kind())?,
    ])
}
