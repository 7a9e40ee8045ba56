//! Signatures of layer norm: statistics may be of a wider type than activations, weights are of theirs, and gradients may be wider too.

use super::law;
use crate::check::signature::{Misfit, Signature};

/// `(x, weight, bias) -> (y, mean, rstd)`, or without a bias.
pub fn forward(eps: f64, reads: usize) -> Result<Signature, Misfit> {
    law(
        eps.is_finite() && eps >= 0.0,
        "eps",
        eps,
        "it must be a number of at least 0",
    )?;
    let operands = Signature::new()
        .read("x", "B S H", "T")
        .read("weight", "H", "A");
    let operands = match reads {
        2 => operands,
        _ => operands.read("bias", "H", "A"),
    };
    Ok(operands
        .make("y", "B S H", "T")
        .make("mean", "B S", "A")
        .make("rstd", "B S", "A"))
}

/// `(dy, x, weight, mean, rstd; dweight, dbias) -> dx`, or without a bias.
pub fn backward(updates: usize) -> Signature {
    let operands = Signature::new()
        .read("dy", "B S H", "T")
        .read("x", "B S H", "T")
        .read("weight", "H", "A")
        .read("mean", "B S", "A")
        .read("rstd", "B S", "A")
        .update("dweight", "H", "G");
    let operands = match updates {
        1 => operands,
        _ => operands.update("dbias", "H", "G"),
    };
    operands.make("dx", "B S H", "T")
}
