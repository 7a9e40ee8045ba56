//! Signature of zeroing: any shape.

use crate::check::signature::Signature;

/// `(; x) -> ()`.
pub fn zero() -> Signature {
    Signature::new().update_all("x", "X", "T")
}
