//! Zeroing in place.

use crate::reference::value::Value;

/// `x = 0`.
pub fn zero(x: &mut Value) {
    x.data.fill(0.0);
}
