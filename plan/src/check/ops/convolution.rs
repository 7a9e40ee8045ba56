//! Signatures of the short convolution: a row of weights for each channel.

use crate::check::signature::Signature;

/// `(x, weight) -> y`.
pub fn forward() -> Signature {
    Signature::new()
        .read("x", "B S C", "T")
        .read("weight", "C W", "T")
        .make("y", "B S C", "T")
}

/// `(dy, x, weight; dweight) -> dx`.
pub fn backward() -> Signature {
    Signature::new()
        .read("dy", "B S C", "T")
        .read("x", "B S C", "T")
        .read("weight", "C W", "T")
        .update("dweight", "C W", "G")
        .make("dx", "B S C", "T")
}
