//! The norm of queries and keys in packed columns: each head over the root of its mean square, computed in the wide type.

use pleach_plan::HeadNorm;
use tch::{TchError, Tensor};

use super::{wide, width};
use crate::native::Result;

/// The normed heads of packed columns, as a view `[B, S, G, group + 1, D]`.
fn heads(x: &Tensor, norm: &HeadNorm) -> Result<Tensor> {
    let (batch, positions, packed) = x.size3()?;
    let (each, own) = (norm.group as i64 + 2, norm.head_dim as i64);
    let columns = each * own;
    if columns == 0 || packed % columns != 0 {
        let text = format!("{packed} columns are no heads of {own} in groups of {each}");
        return Err(TchError::Shape(text));
    }
    x.f_view([batch, positions, packed / columns, each, own])?
        .f_narrow(3, 0, each - 1)
}

/// The weight of each normed head of a group: `[group + 1, D]`.
fn weights(queries: &Tensor, keys: &Tensor, norm: &HeadNorm) -> Result<Tensor> {
    let queries = queries
        .f_view([1, -1])?
        .f_expand([norm.group as i64, -1], false)?;
    Tensor::f_cat(&[queries, keys.f_view([1, -1])?], 0)
}

/// `y`, and one over the root of each normed head's mean square.
pub fn forward(x: &Tensor, weights_of: [&Tensor; 2], norm: &HeadNorm) -> Result<[Tensor; 2]> {
    let own = heads(x, norm)?.f_to_kind(wide(x.kind()))?;
    let square = own.f_square()?;
    let mut mean = square.f_mean_dim([-1i64].as_slice(), false, own.kind())?;
    let rstd = mean.f_add_scalar_(norm.eps)?.f_rsqrt_()?;
    let weights = weights(weights_of[0], weights_of[1], norm)?;
    let mut scaled = own.f_mul(&rstd.f_unsqueeze(-1)?)?;
    let scaled = scaled.f_mul_(&weights)?;
    let mut y = Tensor::f_empty(x.size(), (x.kind(), x.device()))?;
    y.f_copy_(x)?;
    heads(&y, norm)?.f_copy_(&scaled)?;
    let (batch, positions, _) = x.size3()?;
    Ok([y, rstd.f_view([batch, positions, -1])?])
}

/// `dx`; the gradients of the weights of queries and keys are added to their accumulators.
pub fn backward(
    dy: &Tensor,
    x: &Tensor,
    weights_of: [&Tensor; 2],
    rstd: &Tensor,
    sums: [&Tensor; 2],
    norm: &HeadNorm,
) -> Result<Tensor> {
    let kind = wide(x.kind());
    let (own, gradient) = (heads(x, norm)?, heads(dy, norm)?.f_to_kind(kind)?);
    let mut rows = own.size();
    rows[4] = 1;
    let rstd = rstd.f_view(rows.as_slice())?;
    let normal = own.f_to_kind(kind)?.f_mul(&rstd)?;
    gains(&gradient.f_mul(&normal)?, sums, norm)?;
    let weights = weights(weights_of[0], weights_of[1], norm)?;
    let inner = gradient.f_mul(&weights)?;
    let along = inner
        .f_mul(&normal)?
        .f_mean_dim([-1i64].as_slice(), true, kind)?;
    let mut off = normal.f_mul(&along)?;
    let mut inner = off.f_neg_()?.f_add_(&inner)?;
    let inner = inner.f_mul_(&rstd)?;
    let mut dx = Tensor::f_empty(x.size(), (x.kind(), x.device()))?;
    dx.f_copy_(dy)?;
    heads(&dx, norm)?.f_copy_(&inner)?;
    Ok(dx)
}

/// Adds `dy * x * rstd`, summed over all heads of a kind, to the gradients of the weights.
fn gains(all: &Tensor, [queries, keys]: [&Tensor; 2], norm: &HeadNorm) -> Result<()> {
    let group = norm.group as i64;
    for (from, count, sum) in [(0, group, queries), (group, 1, keys)] {
        let own = all.f_narrow(3, from, count)?;
        let gain = own.f_sum_dim_intlist([0i64, 1, 2, 3].as_slice(), false, sum.kind())?;
        if gain.size() != [width(sum)] {
            let text = format!("a gradient of {:?} for {:?}", sum.size(), gain.size());
            return Err(TchError::Shape(text));
        }
        let _ = sum.shallow_clone().f_add_(&gain)?;
    }
    Ok(())
}
