//! Signature of a slice: one of as many equal pieces as what is cut along the axis lies in.

use crate::check::signature::Signature;

/// `(x) -> y`.
pub fn slice(pieces: u64, dim: usize) -> Signature {
    Signature::new()
        .read_all("x", "X", "T")
        .make_cut("y", "X", dim, pieces)
}
