//! Adds into a sum.

use tch::Tensor;

use crate::native::Result;

/// `y += x`.
pub fn run(x: &Tensor, y: &Tensor) -> Result<()> {
    y.shallow_clone().f_add_(x).map(drop)
}
