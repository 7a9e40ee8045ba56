//! Signatures of the embedding: a row of the table for each id.

use crate::check::signature::Signature;

/// `(ids, table) -> y`.
pub fn forward() -> Signature {
    Signature::new()
        .read("ids", "B S", "ids")
        .read("table", "V H", "T")
        .make("y", "B S H", "T")
}

/// `(dy, ids; dtable) -> ()`.
pub fn backward() -> Signature {
    Signature::new()
        .read("dy", "B S H", "T")
        .read("ids", "B S", "ids")
        .update("dtable", "V H", "G")
}
