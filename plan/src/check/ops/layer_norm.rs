//! Signatures of layer norm: statistics may be of a wider type than activations, and so may weights and gradients.

use super::law;
use crate::check::signature::{Misfit, Signature};

/// `(x, weight, bias) -> (y, mean, rstd)`.
pub fn forward(eps: f64) -> Result<Signature, Misfit> {
    law(
        eps.is_finite() && eps >= 0.0,
        "eps",
        eps,
        "it must be a number of at least 0",
    )?;
    Ok(Signature::new()
        .read("x", "B S H", "T")
        .read("weight", "H", "W")
        .read("bias", "H", "W")
        .make("y", "B S H", "T")
        .make("mean", "B S", "A")
        .make("rstd", "B S", "A"))
}

/// `(dy, x, weight, mean, rstd; dweight, dbias) -> dx`.
pub fn backward() -> Signature {
    Signature::new()
        .read("dy", "B S H", "T")
        .read("x", "B S H", "T")
        .read("weight", "H", "W")
        .read("mean", "B S", "A")
        .read("rstd", "B S", "A")
        .update("dweight", "H", "G")
        .update("dbias", "H", "G")
        .make("dx", "B S H", "T")
}
