//! Signatures of sending tokens to experts: as many rows as there are choices.

use crate::check::signature::Signature;

/// `(x, choice) -> rows`.
pub fn forward() -> Signature {
    Signature::new()
        .read("x", "B S H", "T")
        .read("choice", "B S J", "ids")
        .make("rows", "B S*J H", "T")
}

/// `(drows, choice) -> dx`.
pub fn backward() -> Signature {
    Signature::new()
        .read("drows", "B S*J H", "T")
        .read("choice", "B S J", "ids")
        .make("dx", "B S H", "T")
}
