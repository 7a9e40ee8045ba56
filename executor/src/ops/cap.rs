//! The soft limit.

use tch::Tensor;

use crate::native::Result;

/// `y = limit * tanh(x / limit)`, in the storage of `x` where that ends here.
pub fn forward(x: &Tensor, limit: f64, ends: bool) -> Result<Tensor> {
    let mut y = if ends {
        x.shallow_clone().f_div_scalar_(limit)?
    } else {
        x.f_div_scalar(limit)?
    };
    y.f_tanh_()?.f_mul_scalar_(limit)
}

/// `dx = dy * (1 - (y / limit)²)`.
pub fn backward(dy: &Tensor, y: &Tensor, limit: f64) -> Result<Tensor> {
    let mut square = y.f_div_scalar(limit)?;
    let mut slope = square.f_square_()?.f_neg_()?.f_add_scalar_(1.0)?;
    slope.f_mul_(dy)
}
