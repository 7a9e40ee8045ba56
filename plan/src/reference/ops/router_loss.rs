//! The loss on a router's logits: evenly loaded experts, small logits. Both are defined for each sequence, so that no cut of the batch changes them.

use super::norm::gain;
use super::route::{choices, softmax};
use crate::RouterLoss;
use crate::reference::value::{Unfit, Value, one_type};

/// `report[0] += weight of the sequences' losses`, over `replicas`.
///
/// # Errors
/// Shapes or types, or an expert that there is not.
pub fn forward(
    logits: &Value,
    choice: &Value,
    report: &mut Value,
    loss: &RouterLoss,
    replicas: f64,
) -> Result<(), Unfit> {
    one_type(&[report])?;
    let mut charged = Vec::new();
    for sequence in sequences(logits, choice)? {
        let even = sequence.means().zip(&sequence.loads);
        let even: f64 = even.map(|(mean, load)| mean * load).sum();
        let square = |row: &[f64]| libm::pow(log_sum(row), 2.0);
        let squares: f64 = sequence.rows().map(square).sum();
        let (positions, experts) = (sequence.positions as f64, sequence.experts as f64);
        let own = loss.balance * positions * experts * even + loss.z * squares;
        charged.push(loss.scale / replicas * own);
    }
    gain(report, 0, charged.into_iter())
}

/// The gradient of the logits, the choice held fast.
///
/// # Errors
/// Shapes or types, or an expert that there is not.
pub fn backward(logits: &Value, choice: &Value, loss: &RouterLoss) -> Result<Value, Unfit> {
    let mut data = Vec::with_capacity(logits.data.len());
    for sequence in sequences(logits, choice)? {
        for row in sequence.rows() {
            let shares = softmax(row);
            let pull = shares.iter().zip(&sequence.loads);
            let mean: f64 = pull.map(|(share, load)| share * load).sum();
            let even = loss.balance * sequence.experts as f64;
            let large = 2.0 * loss.z * log_sum(row);
            let slope = |(share, load): (&f64, &f64)| even * share * (load - mean) + large * share;
            let slopes = shares.iter().zip(&sequence.loads).map(slope);
            data.extend(slopes.map(|slope| loss.scale * slope));
        }
    }
    Ok(Value::like(logits, &logits.dims, data))
}

/// The logits of a sequence, and the share of its choices that falls on each expert.
struct Sequence<'v> {
    logits: &'v [f64],
    loads: Vec<f64>,
    positions: usize,
    experts: usize,
}

impl Sequence<'_> {
    fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.logits.chunks_exact(self.experts)
    }

    /// The mean softmax of each expert.
    fn means(&self) -> impl Iterator<Item = f64> {
        let mut sums = vec![0.0; self.experts];
        for row in self.rows() {
            let shares = softmax(row);
            sums.iter_mut()
                .zip(shares)
                .for_each(|(sum, share)| *sum += share);
        }
        let positions = self.positions as f64;
        sums.into_iter().map(move |sum| sum / positions)
    }
}

fn sequences<'v>(logits: &'v Value, choice: &Value) -> Result<Vec<Sequence<'v>>, Unfit> {
    let [batch, positions, experts] = logits.shape()?;
    let [_, _, active] = choice.shape()?;
    one_type(&[logits])?;
    choice.expect(&[batch, positions, active])?;
    let chosen = choices(choice, experts)?;
    let each = logits.data.chunks_exact(positions * experts);
    let sequence = |(logits, chosen): (&'v [f64], &[usize])| {
        let mut loads = vec![0.0; experts];
        for &expert in chosen {
            loads[expert] += 1.0 / (positions * active) as f64;
        }
        Sequence {
            logits,
            loads,
            positions,
            experts,
        }
    };
    Ok(each
        .zip(chosen.chunks_exact(positions * active))
        .map(sequence)
        .collect())
}

fn log_sum(row: &[f64]) -> f64 {
    let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    max + libm::log(row.iter().map(|logit| libm::exp(logit - max)).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Route;
    use crate::reference::ops::differences::{assert_gradient, numbers};
    use crate::reference::ops::route;

    fn charged(logits: &Value, choice: &Value, loss: &RouterLoss) -> Value {
        let mut report = Value::free(&[2], vec![0.0; 2]);
        forward(logits, choice, &mut report, loss, 1.0).unwrap();
        Value::free(&[1], vec![report.data[0]])
    }

    #[test]
    fn an_even_load_costs_the_weight_and_an_uneven_one_more() {
        let loss = RouterLoss {
            scaled: false,
            balance: 0.5,
            z: 0.0,
            scale: 1.0 / 4.0,
        };
        let choice = |ids: [f64; 4]| Value {
            dims: vec![1, 4, 1],
            dtype: Some(crate::Dtype::I64),
            data: ids.to_vec(),
        };
        let logits = Value::free(&[1, 4, 2], vec![0.0; 8]);
        let even = charged(&logits, &choice([0.0, 1.0, 1.0, 0.0]), &loss);
        assert_eq!(even.data, [0.5]);
        let sure = Value::free(&[1, 4, 2], [50.0, 0.0].repeat(4));
        let uneven = charged(&sure, &choice([0.0; 4]), &loss);
        assert!((uneven.data[0] - 1.0).abs() < 1e-12);
    }

    #[test]
    fn backward_is_the_derivative() {
        let logits = numbers(&[2, 3, 5], 1);
        let route = Route {
            active: 2,
            normalised: true,
        };
        let [_, choice] = route::forward(&logits, &route).unwrap();
        let one = Value::free(&[1], vec![1.0]);
        for (balance, z) in [(0.7, 0.0), (0.0, 0.3), (0.2, 0.1)] {
            let loss = RouterLoss {
                scaled: false,
                balance,
                z,
                scale: 0.25,
            };
            let found = backward(&logits, &choice, &loss).unwrap();
            assert_gradient(&logits, &found, &one, |logits| {
                charged(logits, &choice, &loss)
            });
        }
    }
}
