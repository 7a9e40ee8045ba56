//! Signatures of the gated product: two operands of one shape, which the result has too.

use crate::check::signature::Signature;

/// `(gate, up) -> y`.
pub fn forward() -> Signature {
    Signature::new()
        .read_all("gate", "X", "T")
        .read_all("up", "X", "T")
        .make_all("y", "X", "T")
}

/// `(dy, gate, up) -> (dgate, dup)`.
pub fn backward() -> Signature {
    Signature::new()
        .read_all("dy", "X", "T")
        .read_all("gate", "X", "T")
        .read_all("up", "X", "T")
        .make_all("dgate", "X", "T")
        .make_all("dup", "X", "T")
}
