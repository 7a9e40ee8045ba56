//! Signature of a cast: one shape, two types.

use crate::check::signature::Signature;

/// `(src; dst) -> ()`, or `(src) -> dst`.
pub fn cast(updates: usize) -> Signature {
    let source = Signature::new().read_all("src", "X", "T");
    match updates {
        0 => source.make_all("dst", "X", "U"),
        _ => source.update_all("dst", "X", "U"),
    }
}
