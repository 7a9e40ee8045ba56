//! The loss on a router's logits: evenly loaded experts within each sequence, small logits.

use pleach_plan::RouterLoss;
use tch::{Kind, Tensor};

use super::route::softmax;
use super::{report, wide, width};
use crate::native::Result;

/// The share of each sequence's choices that falls on each expert: `[B, 1, E]`.
fn loads(logits: &Tensor, choice: &Tensor) -> Result<Tensor> {
    let batch = logits.size3()?.0;
    let kind = wide(logits.kind());
    let flat = choice.f_view([batch, -1])?;
    let one = 1.0 / width(&flat) as f64;
    let ones = Tensor::f_full(flat.size(), one, (kind, logits.device()))?;
    let mut sums = Tensor::f_zeros([batch, width(logits)], (kind, logits.device()))?;
    sums.f_scatter_add_(1, &flat, &ones)?.f_unsqueeze(1)
}

/// The log-sum-exp of each row: `[B, S, 1]`.
fn log_sums(logits: &Tensor) -> Result<Tensor> {
    let rows = logits.f_to_kind(wide(logits.kind()))?;
    rows.f_logsumexp([-1i64].as_slice(), true)
}

/// The sum of the sequences' losses, one double.
pub fn sum(logits: &Tensor, choice: &Tensor, loss: &RouterLoss) -> Result<Tensor> {
    // Means over positions times as many positions as there are: sums.
    let shares = softmax(logits)?;
    let even = shares.f_mul(&loads(logits, choice)?)?;
    let mut even = even
        .f_sum(Kind::Double)?
        .f_mul_scalar(width(logits) as f64)?;
    let squares = log_sums(logits)?.f_square()?.f_sum(Kind::Double)?;
    even.f_mul_scalar_(loss.balance)?
        .f_add_(&squares.f_mul_scalar(loss.z)?)
}

/// Adds the sequences' losses, over `replicas`, to the loss of a report.
pub fn forward(
    logits: &Tensor,
    choice: &Tensor,
    report: &Tensor,
    loss: &RouterLoss,
    replicas: u64,
) -> Result<()> {
    let sum = sum(logits, choice, loss)?.f_double_value(&[])?;
    report::gain(report, 0, sum * loss.scale / replicas as f64)
}

/// The gradient of the logits, the choice held fast.
pub fn backward(logits: &Tensor, choice: &Tensor, loss: &RouterLoss) -> Result<Tensor> {
    let mut shares = softmax(logits)?;
    let loads = loads(logits, choice)?;
    let pull = shares.f_mul(&loads)?;
    let mean = pull.f_sum_dim_intlist([-1i64].as_slice(), true, shares.kind())?;
    let mut slopes = loads.f_sub(&mean)?;
    let even = loss.balance * width(logits) as f64;
    let slopes = slopes.f_mul_scalar_(loss.scale * even)?;
    let mut large = log_sums(logits)?;
    let large = large.f_mul_scalar_(2.0 * loss.scale * loss.z)?;
    let slopes = slopes.f_add(&large)?;
    shares.f_mul_(&slopes)?.f_to_kind(logits.kind())
}
