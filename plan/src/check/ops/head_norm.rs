//! Signatures of the norm of queries and keys: packed columns as for the split into heads, weights as wide as a head.

use super::{law, times};
use crate::HeadNorm;
use crate::check::signature::{Misfit, Signature};

/// `(qkv, q_weight, k_weight) -> (y, rstd)`.
pub fn forward(norm: &HeadNorm) -> Result<Signature, Misfit> {
    let [packed, weight, rows] = patterns(norm)?;
    Ok(Signature::new()
        .read("qkv", &packed, "T")
        .read("q_weight", &weight, "A")
        .read("k_weight", &weight, "A")
        .make("y", &packed, "T")
        .make("rstd", &rows, "A"))
}

/// `(dy, qkv, q_weight, k_weight, rstd; dq_weight, dk_weight) -> dqkv`.
pub fn backward(norm: &HeadNorm) -> Result<Signature, Misfit> {
    let [packed, weight, rows] = patterns(norm)?;
    Ok(Signature::new()
        .read("dy", &packed, "T")
        .read("qkv", &packed, "T")
        .read("q_weight", &weight, "A")
        .read("k_weight", &weight, "A")
        .read("rstd", &rows, "A")
        .update("dq_weight", &weight, "G")
        .update("dk_weight", &weight, "G")
        .make("dqkv", &packed, "T"))
}

/// Packed columns, a weight, and the statistic.
fn patterns(norm: &HeadNorm) -> Result<[String; 3], Misfit> {
    let &HeadNorm {
        head_dim,
        group,
        eps,
    } = norm;
    law(head_dim > 0, "head_dim", head_dim, "it must be at least 1")?;
    law(group > 0, "group", group, "it must be at least 1")?;
    let number = eps.is_finite() && eps >= 0.0;
    law(number, "eps", eps, "it must be a number of at least 0")?;
    let columns = group.saturating_add(2).saturating_mul(head_dim);
    let normed = times("A", group.saturating_add(1));
    Ok([
        format!("B S A*{columns}"),
        head_dim.to_string(),
        format!("B S {normed}"),
    ])
}
