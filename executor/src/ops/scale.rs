//! The product with a number.

use tch::Tensor;

use crate::native::Result;

/// `y = by * x`, in the storage of `x` where that ends here.
pub fn run(x: &Tensor, by: f64, ends: bool) -> Result<Tensor> {
    if ends {
        x.shallow_clone().f_mul_scalar_(by)
    } else {
        x.f_mul_scalar(by)
    }
}
