//! Signatures of the matrix product: operands of one type, the weight's gradient accumulated in its own.

use crate::check::signature::Signature;

/// `(x, weight) -> y`, or with a bias as third input.
pub fn forward(reads: usize) -> Signature {
    let product = Signature::new()
        .read("x", "B S K", "T")
        .read("weight", "N K", "T");
    let product = if reads == 3 {
        product.read("bias", "N", "T")
    } else {
        product
    };
    product.make("y", "B S N", "T")
}

/// `(dy, weight) -> dx`.
pub fn backward_input() -> Signature {
    Signature::new()
        .read("dy", "B S N", "T")
        .read("weight", "N K", "T")
        .make("dx", "B S K", "T")
}

/// `(dy, x; dweight) -> ()`.
pub fn backward_weight() -> Signature {
    Signature::new()
        .read("dy", "B S N", "T")
        .read("x", "B S K", "T")
        .update("dweight", "N K", "G")
}
