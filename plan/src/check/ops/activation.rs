//! Signatures of nonlinearities: any shape, the same on both sides.

use crate::check::signature::Signature;

/// `(x) -> y`.
pub fn forward() -> Signature {
    Signature::new()
        .read_all("x", "X", "T")
        .make_all("y", "X", "T")
}

/// `(dy, x) -> dx`.
pub fn backward() -> Signature {
    Signature::new()
        .read_all("dy", "X", "T")
        .read_all("x", "X", "T")
        .make_all("dx", "X", "T")
}
