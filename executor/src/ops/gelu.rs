//! The exact GELU.

use tch::Tensor;

use crate::native::Result;

/// The formula with the error function, not its tanh approximation.
const EXACT: &str = "none";

/// `y = x Φ(x)`, in the storage of `x` where that ends here.
pub fn forward(x: &Tensor, ends: bool) -> Result<Tensor> {
    if ends {
        x.shallow_clone().f_gelu_(EXACT)
    } else {
        x.f_gelu(EXACT)
    }
}

/// `dx`, in the storage of `dy` where that ends here.
pub fn backward(dy: &Tensor, x: &Tensor, ends: bool) -> Result<Tensor> {
    if ends {
        x.f_gelu_backward_grad_input(dy, dy, EXACT)
    } else {
        x.f_gelu_backward(dy, EXACT)
    }
}
