//! Signature of a cast: one shape, two types.

use crate::check::signature::Signature;

/// `(src; dst) -> ()`.
pub fn cast() -> Signature {
    Signature::new()
        .read_all("src", "X", "T")
        .update_all("dst", "X", "U")
}
