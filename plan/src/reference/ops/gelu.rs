//! Exact GELU: `x Φ(x)` with the error function.

use crate::reference::value::{Unfit, Value, one_type};

/// `y = x Φ(x)`.
pub fn forward(x: &Value) -> Value {
    Value::like(x, &x.dims, x.data.iter().map(|&x| x * normal(x)).collect())
}

/// `dx = dy (Φ(x) + x φ(x))`.
///
/// # Errors
/// Shapes or types.
pub fn backward(dy: &Value, x: &Value) -> Result<Value, Unfit> {
    dy.expect(&x.dims)?;
    one_type(&[dy, x])?;
    let slope = |x: f64| {
        let density = libm::exp(-x * x / 2.0) / (2.0 * core::f64::consts::PI).sqrt();
        normal(x) + x * density
    };
    Ok(Value::like(
        x,
        &x.dims,
        dy.data
            .iter()
            .zip(&x.data)
            .map(|(dy, &x)| dy * slope(x))
            .collect(),
    ))
}

/// The standard normal distribution.
fn normal(x: f64) -> f64 {
    0.5 * (1.0 + libm::erf(x * core::f64::consts::FRAC_1_SQRT_2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::ops::differences::{assert_gradient, numbers};

    #[test]
    fn backward_is_the_derivative() {
        let (x, dy) = (numbers(&[2, 3, 4], 1), numbers(&[2, 3, 4], 2));
        assert_gradient(&x, &backward(&dy, &x).unwrap(), &dy, forward);
        assert!(
            (forward(&Value::free(&[1], vec![1.0])).data[0] - 0.841_344_746_068_542_9).abs()
                < 1e-15
        );
    }
}
