//! Signatures of attention: heads apart on the way in, joined on the way out.

use crate::check::signature::Signature;

/// `(q, k, v) -> (o, lse)`.
pub fn forward() -> Signature {
    Signature::new()
        .read("q", "B A S D", "T")
        .read("k", "B A S D", "T")
        .read("v", "B A S D", "T")
        .make("o", "B S A*D", "T")
        .make("lse", "B A S", "L")
}

/// `(do, q, k, v, o, lse) -> (dq, dk, dv)`.
pub fn backward() -> Signature {
    Signature::new()
        .read("do", "B S A*D", "T")
        .read("q", "B A S D", "T")
        .read("k", "B A S D", "T")
        .read("v", "B A S D", "T")
        .read("o", "B S A*D", "T")
        .read("lse", "B A S", "L")
        .make("dq", "B A S D", "T")
        .make("dk", "B A S D", "T")
        .make("dv", "B A S D", "T")
}
