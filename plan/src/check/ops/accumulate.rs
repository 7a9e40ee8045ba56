//! Signature of adding into a sum: one shape, one type.

use crate::check::signature::Signature;

/// `(x; y) -> ()`.
pub fn accumulate() -> Signature {
    Signature::new()
        .read_all("x", "X", "T")
        .update_all("y", "X", "T")
}
