//! Signatures of RMSNorm: the statistic may be of a wider type than activations, weights are of its type, and gradients may be wider too.

use super::law;
use crate::check::signature::{Misfit, Signature};

/// `(x, weight) -> (y, rstd)`.
pub fn forward(eps: f64) -> Result<Signature, Misfit> {
    law(
        eps.is_finite() && eps >= 0.0,
        "eps",
        eps,
        "it must be a number of at least 0",
    )?;
    Ok(Signature::new()
        .read("x", "B S H", "T")
        .read("weight", "H", "A")
        .make("y", "B S H", "T")
        .make("rstd", "B S", "A"))
}

/// `(dy, x, weight, rstd; dweight) -> dx`.
pub fn backward() -> Signature {
    Signature::new()
        .read("dy", "B S H", "T")
        .read("x", "B S H", "T")
        .read("weight", "H", "A")
        .read("rstd", "B S", "A")
        .update("dweight", "H", "G")
        .make("dx", "B S H", "T")
}
