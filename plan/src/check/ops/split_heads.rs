//! Signatures of the split into heads: for each head of keys and values, whole heads of queries, a key and a value.

use super::{law, times};
use crate::Split;
use crate::check::signature::{Misfit, Signature};

/// `(qkv) -> (q, k, v)`.
pub fn forward(split: &Split) -> Result<Signature, Misfit> {
    let [packed, queries, keys] = patterns(split)?;
    Ok(Signature::new()
        .read("qkv", &packed, "T")
        .make("q", &queries, "T")
        .make("k", &keys, "T")
        .make("v", &keys, "T"))
}

/// `(dq, dk, dv) -> dqkv`.
pub fn backward(split: &Split) -> Result<Signature, Misfit> {
    let [packed, queries, keys] = patterns(split)?;
    Ok(Signature::new()
        .read("dq", &queries, "T")
        .read("dk", &keys, "T")
        .read("dv", &keys, "T")
        .make("dqkv", &packed, "T"))
}

fn patterns(split: &Split) -> Result<[String; 3], Misfit> {
    let &Split {
        head_dim,
        rotary,
        base,
        scale,
        group,
    } = split;
    law(head_dim > 0, "head_dim", head_dim, "it must be at least 1")?;
    law(group > 0, "group", group, "it must be at least 1")?;
    let even = rotary.is_multiple_of(2);
    law(even, "rotary", rotary, "it must be even")?;
    let inside = rotary <= head_dim;
    law(
        inside,
        "rotary",
        rotary,
        "it must not be larger than head_dim",
    )?;
    for (name, number) in [("base", base), ("scale", scale)] {
        let positive = number.is_finite() && number > 0.0;
        law(positive, name, number, "it must be a positive number")?;
    }
    let columns = group.saturating_add(2).saturating_mul(head_dim);
    Ok([
        format!("B S A*{columns}"),
        format!("B {} S {head_dim}", times("A", group)),
        format!("B A S {head_dim}"),
    ])
}
