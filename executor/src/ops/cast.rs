//! Values into another type's storage.

use tch::Tensor;

use crate::native::Result;

/// `target = source` in the type of `target`.
pub fn run(source: &Tensor, target: &Tensor) -> Result<()> {
    target.shallow_clone().f_copy_(source)
}
