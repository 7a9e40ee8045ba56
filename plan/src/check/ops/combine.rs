//! Signatures of the weighted sum of a token's rows.

use crate::check::signature::Signature;

/// `(rows, weights, choice) -> y`.
pub fn forward() -> Signature {
    Signature::new()
        .read("rows", "B S*J H", "T")
        .read("weights", "B S J", "A")
        .read("choice", "B S J", "ids")
        .make("y", "B S H", "T")
}

/// `(dy, rows, weights, choice) -> (drows, dweights)`.
pub fn backward() -> Signature {
    Signature::new()
        .read("dy", "B S H", "T")
        .read("rows", "B S*J H", "T")
        .read("weights", "B S J", "A")
        .read("choice", "B S J", "ids")
        .make("drows", "B S*J H", "T")
        .make("dweights", "B S J", "T")
}
