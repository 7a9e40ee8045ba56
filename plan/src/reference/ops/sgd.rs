//! One update of gradient descent with momentum, weight decay in the gradient.

use crate::reference::ops::lion::each;
use crate::reference::value::{Unfit, Value};

/// The figures of an update.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Learning rate of the step.
    pub rate: f64,
    /// Share of the last update in the next.
    pub momentum: f64,
    /// Whether the gradient is taken where the momentum leads.
    pub nesterov: bool,
    /// What of the weight is added to its gradient.
    pub weight_decay: f64,
}

/// Scales the gradient by the factor, then updates momentum and weight.
///
/// # Errors
/// Shapes or types.
pub fn sgd(factor: &Value, state: [&mut Value; 3], rates: &Rates) -> Result<(), Unfit> {
    each(factor, state, |weight, m, gradient| {
        let seen = gradient + rates.weight_decay * *weight;
        *m = rates.momentum * *m + seen;
        let followed = match rates.nesterov {
            true => seen + rates.momentum * *m,
            false => *m,
        };
        *weight -= rates.rate * followed;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn momentum_adds_up_and_leads() {
        let value = |number: f64| Value::free(&[1], vec![number]);
        let moved = |nesterov| {
            let (mut weight, mut m, mut gradient) = (value(2.0), value(3.0), value(-4.0));
            let rates = Rates {
                rate: 0.1,
                momentum: 0.5,
                nesterov,
                weight_decay: 0.5,
            };
            let state = [&mut weight, &mut m, &mut gradient];
            sgd(&value(0.25), state, &rates).unwrap();
            [weight.data[0], m.data[0], gradient.data[0]]
        };
        // g = -4 / 4 + 2 / 2 = 0, m = 1.5; where it leads, g + m / 2 = 0.75.
        let near = |found: [f64; 3], wanted: [f64; 3]| {
            let mut pairs = found.into_iter().zip(wanted);
            assert!(pairs.all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
        };
        near(moved(false), [1.85, 1.5, -1.0]);
        near(moved(true), [1.925, 1.5, -1.0]);
    }
}
