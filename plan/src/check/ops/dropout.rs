//! Signature of dropout: rows of positions.

use super::law;
use crate::check::signature::{Misfit, Signature};

/// `(x) -> y`.
pub fn dropout(share: f64) -> Result<Signature, Misfit> {
    let is_share = (0.0..1.0).contains(&share);
    law(
        is_share,
        "share",
        share,
        "it must be at least 0 and less than 1",
    )?;
    Ok(Signature::new()
        .read("x", "B S H", "T")
        .make("y", "B S H", "T"))
}
