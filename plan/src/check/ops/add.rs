//! Signature of the sum: two or more tensors of one shape and type.

use crate::check::signature::Signature;

/// `(a, b, …) -> y`.
pub fn add(reads: usize) -> Signature {
    let terms = (0..reads.max(2)).fold(Signature::new(), |signature, _| {
        signature.read_all("term", "X", "T")
    });
    terms.make_all("y", "X", "T")
}
