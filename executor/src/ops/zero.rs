//! Zeroes an accumulator.

use tch::Tensor;

use crate::native::Result;

/// `x = 0`.
pub fn run(x: &Tensor) -> Result<()> {
    x.shallow_clone().f_zero_().map(drop)
}
