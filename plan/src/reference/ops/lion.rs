//! One update of Lion (arXiv:2302.06675): the sign of a mix of gradient and momentum, with decoupled weight decay.

use crate::reference::value::{Unfit, Value, one_type};

/// The figures of an update.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Learning rate of the step.
    pub rate: f64,
    /// Share of the momentum in what is followed, and its own decay.
    pub betas: [f64; 2],
    /// Decoupled weight decay.
    pub weight_decay: f64,
}

/// Scales the gradient by the factor, then updates weight and momentum.
///
/// # Errors
/// Shapes or types.
pub fn lion(factor: &Value, state: [&mut Value; 3], rates: &Rates) -> Result<(), Unfit> {
    let [beta1, beta2] = rates.betas;
    each(factor, state, |weight, m, gradient| {
        let followed = beta1 * *m + (1.0 - beta1) * gradient;
        let sign = if followed == 0.0 {
            0.0
        } else {
            followed.signum()
        };
        *weight -= rates.rate * (rates.weight_decay * *weight + sign);
        *m = beta2 * *m + (1.0 - beta2) * gradient;
    })
}

/// Scales every gradient by the factor, then updates each weight with its momentum by a rule.
///
/// # Errors
/// Shapes or types.
pub fn each(
    factor: &Value,
    [weight, m, gradient]: [&mut Value; 3],
    rule: impl Fn(&mut f64, &mut f64, f64),
) -> Result<(), Unfit> {
    factor.expect(&[1])?;
    one_type(&[factor])?;
    for other in [&*m, &*gradient] {
        other.expect(&weight.dims)?;
    }
    one_type(&[weight, m, gradient])?;
    let entries = weight.data.iter_mut().zip(&mut m.data);
    for ((weight, m), gradient) in entries.zip(&mut gradient.data) {
        *gradient *= factor.data[0];
        rule(weight, m, *gradient);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sign_of_the_mix_moves_the_weight() {
        let value = |numbers: &[f64]| Value::free(&[3], numbers.to_vec());
        let (mut weight, mut m, mut gradient) = (
            value(&[2.0, 2.0, 0.0]),
            value(&[1.0, 1.0, 0.0]),
            value(&[-8.0, -20.0, 0.0]),
        );
        let rates = Rates {
            rate: 0.1,
            betas: [0.9, 0.5],
            weight_decay: 0.5,
        };
        let factor = Value::free(&[1], vec![0.5]);
        lion(&factor, [&mut weight, &mut m, &mut gradient], &rates).unwrap();
        let near = |value: &Value, wanted: [f64; 3]| {
            let mut pairs = value.data.iter().zip(wanted);
            pairs.all(|(found, wanted)| (found - wanted).abs() < 1e-12)
        };
        // 0.9 - 0.1 * 4 is above 0, 0.9 - 0.1 * 10 below.
        assert!(near(&weight, [1.8, 2.0, 0.0]), "{:?}", weight.data);
        assert!(near(&m, [-1.5, -4.5, 0.0]) && near(&gradient, [-4.0, -10.0, 0.0]));
    }
}
