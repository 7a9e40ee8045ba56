//! Signatures of the bias: one number for each column.

use crate::check::signature::Signature;

/// `(x, bias) -> y`.
pub fn forward() -> Signature {
    Signature::new()
        .read("x", "B S N", "T")
        .read("bias", "N", "T")
        .make("y", "B S N", "T")
}

/// `(dy; dbias) -> ()`.
pub fn backward() -> Signature {
    Signature::new()
        .read("dy", "B S N", "T")
        .update("dbias", "N", "G")
}
