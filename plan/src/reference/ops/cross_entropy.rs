//! Cross-entropy over a vocabulary that may be sharded, in parts between which ranks communicate.
//!
//! `max` should be the largest logit of all ranks' rows: in exact arithmetic any number would do, but with logits of some
//! hundreds every other one makes exponentials overflow or all of them vanish.

use super::norm::gain;
use crate::Charge;
use crate::reference::value::{self, Unfit, Value, one_type};

/// The largest logit of this rank's rows.
///
/// # Errors
/// Shapes.
pub fn max(logits: &Value) -> Result<Value, Unfit> {
    let [batch, positions, rows] = logits.shape()?;
    one_type(&[logits])?;
    let largest = |row: &[f64]| row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Ok(Value::free(
        &[batch, positions],
        logits.data.chunks_exact(rows).map(largest).collect(),
    ))
}

/// The sum of exponentials over this rank's rows, and the target's logit less the maximum where this rank holds it; smoothed, also
/// the sum of all rows' logits less the maximum.
///
/// # Errors
/// Shapes, or a target without a row where all rows are held.
pub fn terms(
    logits: &Value,
    targets: &Value,
    max: &Value,
    first: Option<usize>,
    smoothed: bool,
) -> Result<Value, Unfit> {
    let [batch, positions, rows] = logits.shape()?;
    value::ids(targets)?;
    one_type(&[logits])?;
    one_type(&[max])?;
    targets.expect(&[batch, positions])?;
    max.expect(&[batch, positions])?;
    let (mut sums, mut picked, mut all) = (Vec::new(), Vec::new(), Vec::new());
    for ((row, &target), &max) in logits
        .data
        .chunks_exact(rows)
        .zip(&targets.data)
        .zip(&max.data)
    {
        sums.push(row.iter().map(|logit| libm::exp(logit - max)).sum::<f64>());
        picked.push(local(target, first, rows)?.map_or(0.0, |index| row[index] - max));
        all.extend(smoothed.then(|| row.iter().map(|logit| logit - max).sum::<f64>()));
    }
    sums.append(&mut picked);
    sums.append(&mut all);
    Ok(Value {
        dims: vec![2 + usize::from(smoothed), batch, positions],
        dtype: max.dtype,
        data: sums,
    })
}

/// Adds to `report[0]` what each token is charged with, times its weight.
///
/// # Errors
/// Shapes.
pub fn loss(
    terms: &Value,
    [max, weights]: [Option<&Value>; 2],
    report: &mut Value,
    charge: &Charge,
) -> Result<(), Unfit> {
    let [sums, picked, all] = parts(terms, charge)?;
    one_type(&[report])?;
    let weights = factors(weights, &terms.dims[1..])?;
    let ([own, even], places) = (charge.shares(), sums.len());
    let largest = match max {
        Some(max) => {
            one_type(&[max])?;
            max.expect(&terms.dims[1..])?;
            &max.data[..]
        }
        None => &[][..],
    };
    let charged = |at: usize| {
        let sum = libm::log(sums[at]);
        let spread = all.get(at).map_or(0.0, |all| even * all);
        let log = largest.get(at).map_or(0.0, |max| sum + max);
        weights[at] * (sum - own * picked[at] - spread + charge.z_loss * log * log)
    };
    let positions = terms.dims.last().copied().unwrap_or(1).max(1);
    let sequences = (0..places).step_by(positions);
    let own = |begin| charge.scale * (begin..begin + positions).map(charged).sum::<f64>();
    gain(report, 0, sequences.map(own))
}

/// The weight of each target, 1 where there are none.
fn factors(weights: Option<&Value>, dims: &[usize]) -> Result<Vec<f64>, Unfit> {
    let Some(weights) = weights else {
        return Ok(vec![1.0; dims.iter().product()]);
    };
    one_type(&[weights])?;
    weights.expect(dims)?;
    Ok(weights.data.clone())
}

/// The gradient of the charge: plain, `dlogits = scale * weights * (softmax - onehot)`.
///
/// # Errors
/// Shapes, or a target without a row where all rows are held.
pub fn backward(
    logits: &Value,
    targets: &Value,
    [max, terms]: [&Value; 2],
    weights: Option<&Value>,
    charge: &Charge,
    first: Option<usize>,
) -> Result<Value, Unfit> {
    let [batch, positions, rows] = logits.shape()?;
    value::ids(targets)?;
    one_type(&[logits])?;
    one_type(&[max, terms])?;
    targets.expect(&[batch, positions])?;
    max.expect(&[batch, positions])?;
    let [sums, ..] = parts(terms, charge)?;
    let [own, even] = charge.shares();
    let mut data = Vec::with_capacity(logits.data.len());
    let places = logits
        .data
        .chunks_exact(rows)
        .zip(&targets.data)
        .zip(max.data.iter().zip(sums))
        .zip(factors(weights, &[batch, positions])?);
    for (((row, &target), (max, sum)), weight) in places {
        let (begin, scale) = (data.len(), charge.scale * weight);
        let squared = 1.0 + 2.0 * charge.z_loss * (libm::log(*sum) + max);
        let slope = |logit: &f64| scale * (squared * libm::exp(logit - max) / sum - even);
        data.extend(row.iter().map(slope));
        if let Some(index) = local(target, first, rows)? {
            data[begin + index] -= scale * own;
        }
    }
    Ok(Value::like(logits, &logits.dims, data))
}

/// Sums, picked logits, and the sums of all logits where the target is spread over them.
fn parts<'t>(terms: &'t Value, charge: &Charge) -> Result<[&'t [f64]; 3], Unfit> {
    let [rows, batch, positions] = terms.shape()?;
    one_type(&[terms])?;
    if rows != 2 + usize::from(charge.is_smoothed()) {
        return Err(Unfit(format!("terms of {:?}", terms.dims)));
    }
    let (sums, rest) = terms.data.split_at(batch * positions);
    let (picked, all) = rest.split_at(batch * positions);
    Ok([sums, picked, all])
}

/// The local row of a target; none where another rank holds it.
fn local(target: f64, first: Option<usize>, rows: usize) -> Result<Option<usize>, Unfit> {
    match first {
        None if target >= 0.0 && (target as usize) < rows => Ok(Some(target as usize)),
        None => Err(Unfit(format!("target {target} has no row among {rows}"))),
        Some(first) => Ok((target as usize)
            .checked_sub(first)
            .filter(|&row| row < rows)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::ops::differences::{assert_gradient, numbers, tokens};

    fn whole_loss(
        logits: &Value,
        targets: &Value,
        weights: Option<&Value>,
        charge: &Charge,
    ) -> Value {
        let max = max(logits).unwrap();
        let terms = terms(logits, targets, &max, None, charge.is_smoothed()).unwrap();
        let mut report = Value::free(&[2], vec![0.0; 2]);
        let max = charge.is_squared().then_some(&max);
        loss(&terms, [max, weights], &mut report, charge).unwrap();
        Value::free(&[1], vec![report.data[0]])
    }

    #[test]
    fn backward_is_the_derivative_of_the_loss() {
        let (logits, targets) = (numbers(&[2, 3, 5], 1), tokens(&[2, 3], 5));
        let largest = max(&logits).unwrap();
        let weighted = Value::free(&[2, 3], vec![2.0, 0.0, 1.0, 0.0, 0.5, 2.5]);
        let plain = Charge::plain(0.25);
        let squared = Charge {
            z_loss: 0.3,
            ..plain
        };
        let smoothed = Charge {
            smoothing: 0.2,
            rows: 5,
            ..squared
        };
        for charge in [plain, squared, smoothed] {
            let parts = terms(&logits, &targets, &largest, None, charge.is_smoothed()).unwrap();
            for weights in [None, Some(&weighted)] {
                let statistics = [&largest, &parts];
                let dlogits =
                    backward(&logits, &targets, statistics, weights, &charge, None).unwrap();
                let one = Value::free(&[1], vec![1.0]);
                assert_gradient(&logits, &dlogits, &one, |logits| {
                    whole_loss(logits, &targets, weights, &charge)
                });
            }
        }
    }

    /// One token of two rows, by hand: a denominator of 1 + 1/e over the largest logit 2.
    #[test]
    fn additions_are_what_their_names_say() {
        let logits = Value::free(&[1, 1, 2], vec![2.0, 1.0]);
        let targets = Value {
            dtype: Some(crate::Dtype::I64),
            ..Value::free(&[1, 1], vec![1.0])
        };
        let lse = 2.0 + libm::log(1.0 + libm::exp(-1.0));
        let found = |z_loss, smoothing| {
            let charge = Charge {
                scaled: false,
                scale: 1.0,
                z_loss,
                smoothing,
                rows: 2,
            };
            whole_loss(&logits, &targets, None, &charge).data[0]
        };
        assert!((found(0.0, 0.0) - (lse - 1.0)).abs() < 1e-12);
        assert!((found(0.1, 0.0) - (lse - 1.0 + 0.1 * lse * lse)).abs() < 1e-12);
        // Of the target, 0.4 is spread: 0.8 stays in its row, 0.2 goes to the other.
        assert!((found(0.0, 0.4) - (lse - 0.8 - 0.4)).abs() < 1e-12);
    }

    #[test]
    fn terms_of_shards_sum_to_the_whole() {
        let (logits, targets) = (numbers(&[1, 3, 4], 1), tokens(&[1, 3], 4));
        let largest = max(&logits).unwrap();
        let whole = terms(&logits, &targets, &largest, None, true).unwrap();
        let mut sum = [0.0; 9];
        for rank in 0..2 {
            let shard = value::cut(&logits, 2, 2, rank).unwrap();
            let part = terms(&shard, &targets, &largest, Some(rank * 2), true).unwrap();
            sum.iter_mut()
                .zip(&part.data)
                .for_each(|(sum, part)| *sum += part);
        }
        assert!(
            sum.iter()
                .zip(&whole.data)
                .all(|(sum, whole)| (sum - whole).abs() < 1e-15)
        );
    }

    #[test]
    fn large_logits_need_the_true_maximum() {
        let (mut logits, targets) = (numbers(&[1, 2, 4], 1), tokens(&[1, 2], 4));
        logits
            .data
            .iter_mut()
            .for_each(|logit| *logit = (*logit + 2.0) * 1e4);
        let charge = Charge::plain(1.0);
        assert!(whole_loss(&logits, &targets, None, &charge).data[0].is_finite());
        let zero = Value::free(&[1, 2], vec![0.0; 2]);
        let terms = terms(&logits, &targets, &zero, None, false).unwrap();
        let mut report = Value::free(&[2], vec![0.0; 2]);
        loss(&terms, [None; 2], &mut report, &charge).unwrap();
        assert!(!report.data[0].is_finite());
    }
}
