//! One AdamW update with decoupled weight decay.

use crate::reference::value::{Unfit, Value, one_type};

/// The figures of an update.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Learning rate of the step.
    pub rate: f64,
    /// Which update this is, from 1: for the bias corrections.
    pub update: u64,
    /// Decays of the moments.
    pub betas: [f64; 2],
    /// Added to the denominator.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
}

/// Scales the gradient by the factor, then updates moments and weight.
///
/// # Errors
/// Shapes or types.
pub fn adam_w(factor: &Value, state: [&mut Value; 4], rates: &Rates) -> Result<(), Unfit> {
    let decay = rates.rate * rates.weight_decay;
    moments(factor, state, rates, |weight, gradient| {
        (*weight - decay * *weight, gradient)
    })
}

/// Adam's update, given what becomes of weight and scaled gradient before it.
///
/// # Errors
/// Shapes or types.
pub fn moments(
    factor: &Value,
    state: [&mut Value; 4],
    rates: &Rates,
    before: impl Fn(&f64, f64) -> (f64, f64),
) -> Result<(), Unfit> {
    factor.expect(&[1])?;
    one_type(&[factor])?;
    let [weight, m, v, gradient] = state;
    for other in [&*m, &*v, &*gradient] {
        other.expect(&weight.dims)?;
    }
    one_type(&[weight, m, v, gradient])?;
    let [beta1, beta2] = rates.betas;
    let [first, second] = rates
        .betas
        .map(|beta| 1.0 - libm::pow(beta, rates.update as f64));
    for (index, weight) in weight.data.iter_mut().enumerate() {
        let (m, v) = (&mut m.data[index], &mut v.data[index]);
        gradient.data[index] *= factor.data[0];
        let (kept, seen) = before(weight, gradient.data[index]);
        *m = beta1 * *m + (1.0 - beta1) * seen;
        *v = beta2 * *v + (1.0 - beta2) * seen * seen;
        *weight = kept - rates.rate * (*m / first) / ((*v / second).sqrt() + rates.eps);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_update_moves_by_the_rate_against_the_gradient() {
        let value = |number: f64| Value::free(&[1], vec![number]);
        let (mut weight, mut m, mut v, mut gradient) =
            (value(2.0), value(0.0), value(0.0), value(-4.0));
        let rates = Rates {
            rate: 0.1,
            update: 1,
            betas: [0.9, 0.99],
            eps: 0.0,
            weight_decay: 0.5,
        };
        adam_w(
            &value(0.25),
            [&mut weight, &mut m, &mut v, &mut gradient],
            &rates,
        )
        .unwrap();
        let near = |value: &Value, wanted: f64| (value.data[0] - wanted).abs() < 1e-12;
        assert!(
            near(&weight, 2.0 - 0.1 + 0.1)
                && near(&m, -0.1)
                && near(&v, 0.01)
                && near(&gradient, -1.0)
        );
    }
}
