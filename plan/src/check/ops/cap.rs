//! Signatures of the soft limit: any shape, the same on both sides.

use super::law;
use crate::check::signature::{Misfit, Signature};

/// `(x) -> y`.
pub fn forward(limit: f64) -> Result<Signature, Misfit> {
    positive(limit)?;
    Ok(Signature::new()
        .read_all("x", "X", "T")
        .make_all("y", "X", "T"))
}

/// `(dy, y) -> dx`.
pub fn backward(limit: f64) -> Result<Signature, Misfit> {
    positive(limit)?;
    Ok(Signature::new()
        .read_all("dy", "X", "T")
        .read_all("y", "X", "T")
        .make_all("dx", "X", "T"))
}

fn positive(limit: f64) -> Result<(), Misfit> {
    let holds = limit.is_finite() && limit > 0.0;
    law(holds, "limit", limit, "it must be a positive number")
}
