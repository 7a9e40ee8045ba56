//! A slice: this rank's piece of a dimension.

use crate::reference::value::{Unfit, Value, cut, one_type};

/// Piece `index` of `pieces` along `dim`.
///
/// # Errors
/// The dimension cannot be cut so.
pub fn slice(x: &Value, dim: usize, pieces: u32, index: u32) -> Result<Value, Unfit> {
    one_type(&[x])?;
    cut(x, dim, pieces as usize, index as usize)
}
