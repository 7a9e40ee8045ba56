//! Signature of zeroing: any shape.

use crate::check::signature::Signature;

/// `(; x) -> ()`, or `() -> x`.
pub fn zero(updates: usize) -> Signature {
    match updates {
        0 => Signature::new().make_all("x", "X", "T"),
        _ => Signature::new().update_all("x", "X", "T"),
    }
}
