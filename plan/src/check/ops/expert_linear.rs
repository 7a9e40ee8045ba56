//! Signatures of the products of rows with their experts' matrices.

use crate::check::signature::Signature;

/// `(rows, weight, choice) -> y`.
pub fn forward() -> Signature {
    Signature::new()
        .read("rows", "B S*J K", "T")
        .read("weight", "E N K", "T")
        .read("choice", "B S J", "ids")
        .make("y", "B S*J N", "T")
}

/// `(dy, weight, choice) -> drows`.
pub fn backward_input() -> Signature {
    Signature::new()
        .read("dy", "B S*J N", "T")
        .read("weight", "E N K", "T")
        .read("choice", "B S J", "ids")
        .make("drows", "B S*J K", "T")
}

/// `(dy, rows, choice; dweight) -> ()`.
pub fn backward_weight() -> Signature {
    Signature::new()
        .read("dy", "B S*J N", "T")
        .read("rows", "B S*J K", "T")
        .read("choice", "B S J", "ids")
        .update("dweight", "E N K", "G")
}
