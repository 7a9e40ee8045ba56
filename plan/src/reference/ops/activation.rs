//! Nonlinearities that work entry by entry, and their slopes.

use core::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI, PI};

use crate::op::Activation;
use crate::reference::value::{Unfit, Value, one_type};

/// The cubic term of the tanh form of GELU.
const CUBIC: f64 = 0.044_715;

/// `y = f(x)`.
pub fn forward(kind: Activation, x: &Value) -> Value {
    let data = x.data.iter().map(|&x| value(kind, x)).collect();
    Value::like(x, &x.dims, data)
}

/// `dx = dy f'(x)`.
///
/// # Errors
/// Shapes or types.
pub fn backward(kind: Activation, dy: &Value, x: &Value) -> Result<Value, Unfit> {
    dy.expect(&x.dims)?;
    one_type(&[dy, x])?;
    let pairs = dy.data.iter().zip(&x.data);
    let data = pairs.map(|(dy, &x)| dy * slope(kind, x)).collect();
    Ok(Value::like(x, &x.dims, data))
}

/// `f(x)`.
pub fn value(kind: Activation, x: f64) -> f64 {
    match kind {
        Activation::Gelu => x * normal(x),
        Activation::GeluTanh => 0.5 * x * (1.0 + libm::tanh(bent(x))),
        Activation::Relu => x.max(0.0),
        Activation::Silu => x * logistic(x),
    }
}

/// `f'(x)`; that of ReLU at 0 is 0.
pub fn slope(kind: Activation, x: f64) -> f64 {
    match kind {
        Activation::Gelu => normal(x) + x * libm::exp(-x * x / 2.0) / (2.0 * PI).sqrt(),
        Activation::GeluTanh => {
            let tanh = libm::tanh(bent(x));
            let inner = FRAC_2_PI.sqrt() * (1.0 + 3.0 * CUBIC * x * x);
            0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * inner
        }
        Activation::Relu => f64::from(u8::from(x > 0.0)),
        Activation::Silu => {
            let logistic = logistic(x);
            logistic * (1.0 + x * (1.0 - logistic))
        }
    }
}

/// The standard normal distribution.
fn normal(x: f64) -> f64 {
    0.5 * (1.0 + libm::erf(x * FRAC_1_SQRT_2))
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

/// What tanh is taken of in the tanh form of GELU.
fn bent(x: f64) -> f64 {
    FRAC_2_PI.sqrt() * (x + CUBIC * x * x * x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::ops::differences::{assert_gradient, numbers};

    #[test]
    fn backward_is_the_derivative() {
        let (x, dy) = (numbers(&[2, 3, 4], 1), numbers(&[2, 3, 4], 2));
        for kind in [
            Activation::Gelu,
            Activation::GeluTanh,
            Activation::Relu,
            Activation::Silu,
        ] {
            let dx = backward(kind, &dy, &x).unwrap();
            assert_gradient(&x, &dx, &dy, |x| forward(kind, x));
        }
    }

    #[test]
    fn each_kind_has_its_known_value() {
        for (kind, at, wanted) in [
            (Activation::Gelu, 1.0, 0.841_344_746_068_542_9),
            (Activation::GeluTanh, 1.0, 0.841_191_990_608_276_5),
            (Activation::Relu, 1.0, 1.0),
            (Activation::Relu, -1.0, 0.0),
            (Activation::Silu, 1.0, 0.731_058_578_630_004_9),
        ] {
            assert!((value(kind, at) - wanted).abs() < 1e-12, "{kind:?} of {at}");
        }
    }
}
