//! Nonlinearities that work entry by entry.

use pleach_plan::Activation;
use tch::Tensor;

use crate::native::Result;

/// The formula of GELU: with the error function, or its approximation by tanh.
fn formula(kind: Activation) -> &'static str {
    match kind {
        Activation::GeluTanh => "tanh",
        _ => "none",
    }
}

/// `y = f(x)`, in the storage of `x` where that ends here.
pub fn forward(kind: Activation, x: &Tensor, ends: bool) -> Result<Tensor> {
    let mut own = x.shallow_clone();
    match (kind, ends) {
        (Activation::Gelu | Activation::GeluTanh, true) => own.f_gelu_(formula(kind)),
        (Activation::Gelu | Activation::GeluTanh, false) => x.f_gelu(formula(kind)),
        (Activation::Relu, true) => own.f_relu_(),
        (Activation::Relu, false) => x.f_relu(),
        (Activation::Silu, true) => own.f_silu_(),
        (Activation::Silu, false) => x.f_silu(),
    }
}

/// `dx`, in the storage of `dy` where that ends here.
pub fn backward(kind: Activation, dy: &Tensor, x: &Tensor, ends: bool) -> Result<Tensor> {
    if ends {
        return backward_into(kind, dy, dy, x);
    }
    match kind {
        Activation::Gelu | Activation::GeluTanh => x.f_gelu_backward(dy, formula(kind)),
        Activation::Relu => x.f_threshold_backward(dy, 0.0),
        Activation::Silu => x.f_silu_backward(dy),
    }
}

/// `dx`, written into `to`.
pub fn backward_into(kind: Activation, to: &Tensor, dy: &Tensor, x: &Tensor) -> Result<Tensor> {
    match kind {
        Activation::Gelu | Activation::GeluTanh => {
            x.f_gelu_backward_grad_input(to, dy, formula(kind))
        }
        Activation::Relu => x.f_threshold_backward_grad_input(to, dy, 0.0),
        Activation::Silu => x.f_silu_backward_grad_input(to, dy),
    }
}
