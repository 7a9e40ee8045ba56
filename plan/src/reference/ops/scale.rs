//! The product with a number; it is its own derivative.

use crate::reference::value::Value;

/// `y = by * x`.
pub fn scale(x: &Value, by: f64) -> Value {
    Value::like(x, &x.dims, x.data.iter().map(|x| x * by).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::ops::differences::{assert_gradient, numbers};

    #[test]
    fn it_is_its_own_derivative() {
        let (x, dy) = (numbers(&[2, 3, 4], 1), numbers(&[2, 3, 4], 2));
        assert_gradient(&x, &scale(&dy, 2.5), &dy, |x| scale(x, 2.5));
    }
}
