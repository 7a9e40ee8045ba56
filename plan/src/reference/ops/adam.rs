//! One update of Adam with weight decay in the gradient.

use crate::reference::ops::adam_w::{Rates, moments};
use crate::reference::value::{Unfit, Value};

/// Scales the gradient by the factor, then updates moments and weight.
///
/// # Errors
/// Shapes or types.
pub fn adam(factor: &Value, state: [&mut Value; 4], rates: &Rates) -> Result<(), Unfit> {
    let decay = rates.weight_decay;
    moments(factor, state, rates, |weight, gradient| {
        (*weight, gradient + decay * *weight)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_decay_reaches_the_moments_but_not_the_gradient() {
        let value = |number: f64| Value::free(&[1], vec![number]);
        let (mut weight, mut m, mut v, mut gradient) =
            (value(2.0), value(0.0), value(0.0), value(-8.0));
        let rates = Rates {
            rate: 0.1,
            update: 1,
            betas: [0.9, 0.99],
            eps: 0.0,
            weight_decay: 0.5,
        };
        let state = [&mut weight, &mut m, &mut v, &mut gradient];
        adam(&value(0.5), state, &rates).unwrap();
        // g = -8 / 2 + 2 / 2 = -3.
        let near = |value: &Value, wanted: f64| (value.data[0] - wanted).abs() < 1e-12;
        assert!(near(&weight, 2.1) && near(&m, -0.3) && near(&v, 0.09) && near(&gradient, -4.0));
    }
}
