//! Signature of the product with a number: any shape.

use super::law;
use crate::check::signature::{Misfit, Signature};

/// `(x) -> y`.
pub fn scale(by: f64) -> Result<Signature, Misfit> {
    law(by.is_finite(), "by", by, "it must be a finite number")?;
    Ok(Signature::new()
        .read_all("x", "X", "T")
        .make_all("y", "X", "T"))
}
