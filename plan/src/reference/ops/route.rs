//! The router: each token's experts of largest logits, and how much each of them counts.

use crate::reference::value::{self, Unfit, Value, one_type};
use crate::{Dtype, Route};

/// Weights and choice.
///
/// # Errors
/// Shapes or types, or fewer experts than are chosen.
pub fn forward(logits: &Value, route: &Route) -> Result<[Value; 2], Unfit> {
    let [batch, positions, experts] = logits.shape()?;
    one_type(&[logits])?;
    let active = active(route, experts)?;
    let (mut weights, mut choice) = (Vec::new(), Vec::new());
    for row in logits.data.chunks_exact(experts) {
        let mut order: Vec<usize> = (0..experts).collect();
        order.sort_by(|&one, &other| row[other].total_cmp(&row[one]));
        order.truncate(active);
        let all = softmax(row);
        weights.extend(shares(&all, &order, route.normalised));
        choice.extend(order.iter().map(|&expert| expert as f64));
    }
    let dims = [batch, positions, active];
    let choice = Value {
        dims: dims.to_vec(),
        dtype: Some(Dtype::I64),
        data: choice,
    };
    Ok([Value::free(&dims, weights), choice])
}

/// The gradient of the logits, the choice held fast.
///
/// # Errors
/// Shapes or types, or an expert that there is not.
pub fn backward(
    dweights: &Value,
    logits: &Value,
    choice: &Value,
    route: &Route,
) -> Result<Value, Unfit> {
    let [batch, positions, experts] = logits.shape()?;
    let active = active(route, experts)?;
    one_type(&[dweights, logits])?;
    dweights.expect(&[batch, positions, active])?;
    choice.expect(&[batch, positions, active])?;
    let (mut data, chosen) = (vec![0.0; logits.data.len()], choices(choice, experts)?);
    let rows = logits.data.chunks_exact(experts);
    let rows = rows.zip(chosen.chunks_exact(active));
    let rows = rows.zip(dweights.data.chunks_exact(active));
    for (((row, chosen), dweights), dlogits) in rows.zip(data.chunks_exact_mut(experts)) {
        let all = softmax(row);
        let shares = shares(&all, chosen, route.normalised);
        let mean: f64 = shares
            .iter()
            .zip(dweights)
            .map(|(share, dw)| share * dw)
            .sum();
        let pull = chosen.iter().zip(&shares).zip(dweights);
        pull.for_each(|((&expert, share), dw)| dlogits[expert] += share * dw);
        match route.normalised {
            true => chosen
                .iter()
                .zip(&shares)
                .for_each(|(&expert, share)| dlogits[expert] -= share * mean),
            false => dlogits
                .iter_mut()
                .zip(&all)
                .for_each(|(dlogit, share)| *dlogit -= share * mean),
        }
    }
    Ok(Value::like(logits, &logits.dims, data))
}

fn active(route: &Route, experts: usize) -> Result<usize, Unfit> {
    let active = route.active as usize;
    match active > 0 && active <= experts {
        true => Ok(active),
        false => Err(Unfit(format!("{active} of {experts} experts"))),
    }
}

/// The softmax of a row.
pub fn softmax(row: &[f64]) -> Vec<f64> {
    let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = row.iter().map(|logit| libm::exp(logit - max)).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

/// How much each chosen expert counts.
fn shares(all: &[f64], chosen: &[usize], normalised: bool) -> Vec<f64> {
    let whole = match normalised {
        true => chosen.iter().map(|&expert| all[expert]).sum(),
        false => 1.0,
    };
    chosen.iter().map(|&expert| all[expert] / whole).collect()
}

/// Choices as numbers below `experts`.
///
/// # Errors
/// They are no ids, or name an expert that there is not.
pub fn choices(choice: &Value, experts: usize) -> Result<Vec<usize>, Unfit> {
    value::ids(choice)?;
    let known = choice
        .data
        .iter()
        .all(|&id| id >= 0.0 && (id as usize) < experts);
    match known {
        true => Ok(choice.data.iter().map(|&id| id as usize).collect()),
        false => Err(Unfit(format!("a choice beyond {experts} experts"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::ops::differences::{assert_gradient, numbers};

    #[test]
    fn the_largest_are_chosen_and_share_by_softmax() {
        let logits = Value::free(&[1, 1, 4], vec![0.0, 3.0, 1.0, 3.0]);
        let route = |normalised| {
            let route = Route {
                active: 2,
                normalised,
            };
            let [weights, choice] = forward(&logits, &route).unwrap();
            assert_eq!(choice.data, [1.0, 3.0]);
            weights.data
        };
        assert_eq!(route(true), [0.5, 0.5]);
        let power = libm::exp(3.0);
        let share = power / (2.0 * power + libm::exp(1.0) + 1.0);
        assert!(
            route(false)
                .iter()
                .all(|found| (found - share).abs() < 1e-15)
        );
    }

    #[test]
    fn backward_is_the_derivative() {
        let logits = numbers(&[2, 3, 5], 1);
        for (active, normalised) in [(1, false), (2, true), (2, false), (5, true)] {
            let route = Route { active, normalised };
            let dweights = numbers(&[2, 3, active as usize], 2);
            let [_, choice] = forward(&logits, &route).unwrap();
            let found = backward(&dweights, &logits, &choice, &route).unwrap();
            assert_gradient(&logits, &found, &dweights, |logits| {
                let [weights, _] = forward(logits, &route).unwrap();
                weights
            });
        }
    }
}
