//! The soft limit: entries stay below a number and keep their order.

use crate::reference::value::{Unfit, Value, one_type};

/// `y = limit * tanh(x / limit)`.
pub fn forward(x: &Value, limit: f64) -> Value {
    let bent = x.data.iter().map(|x| limit * libm::tanh(x / limit));
    Value::like(x, &x.dims, bent.collect())
}

/// `dx = dy * (1 - (y / limit)²)`.
///
/// # Errors
/// Shapes or types.
pub fn backward(dy: &Value, y: &Value, limit: f64) -> Result<Value, Unfit> {
    dy.expect(&y.dims)?;
    one_type(&[dy, y])?;
    let pairs = dy.data.iter().zip(&y.data);
    let slopes = pairs.map(|(dy, y)| dy * (1.0 - (y / limit) * (y / limit)));
    Ok(Value::like(y, &y.dims, slopes.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::ops::differences::{assert_gradient, numbers};

    #[test]
    fn backward_is_the_derivative() {
        let (x, dy) = (numbers(&[2, 3, 4], 1), numbers(&[2, 3, 4], 2));
        let dx = backward(&dy, &forward(&x, 0.7), 0.7).unwrap();
        assert_gradient(&x, &dx, &dy, |x| forward(x, 0.7));
        let far = Value::free(&[1], vec![1e3]);
        assert_eq!(forward(&far, 30.0).data, [30.0]);
    }
}
