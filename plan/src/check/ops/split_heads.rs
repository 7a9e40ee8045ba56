//! Signatures of the split into heads: whole heads of `3 × head_dim` columns.

use super::law;
use crate::check::signature::{Misfit, Signature};

/// `(qkv) -> (q, k, v)`.
pub fn forward(head_dim: u64, rotary: u64, base: f64) -> Result<Signature, Misfit> {
    let (packed, head) = patterns(head_dim, rotary, base)?;
    let signature = Signature::new().read("qkv", &packed, "T");
    Ok(signature
        .make("q", &head, "T")
        .make("k", &head, "T")
        .make("v", &head, "T"))
}

/// `(dq, dk, dv) -> dqkv`.
pub fn backward(head_dim: u64, rotary: u64, base: f64) -> Result<Signature, Misfit> {
    let (packed, head) = patterns(head_dim, rotary, base)?;
    let signature = Signature::new()
        .read("dq", &head, "T")
        .read("dk", &head, "T")
        .read("dv", &head, "T");
    Ok(signature.make("dqkv", &packed, "T"))
}

fn patterns(head_dim: u64, rotary: u64, base: f64) -> Result<(String, String), Misfit> {
    law(head_dim > 0, "head_dim", head_dim, "it must be at least 1")?;
    law(
        rotary.is_multiple_of(2),
        "rotary",
        rotary,
        "it must be even",
    )?;
    law(
        rotary <= head_dim,
        "rotary",
        rotary,
        "it must not be larger than head_dim",
    )?;
    law(
        base.is_finite() && base > 0.0,
        "base",
        base,
        "it must be a positive number",
    )?;
    Ok((
        format!("B S A*{}", head_dim.saturating_mul(3)),
        format!("B A S {head_dim}"),
    ))
}
