//! Cross-entropy over a vocabulary that may be sharded, in parts between which ranks communicate.
//!
//! `max` should be the largest logit of all ranks' rows: in exact arithmetic any number would do, but with logits of some
//! hundreds every other one makes exponentials overflow or all of them vanish.

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

/// The sum of exponentials over this rank's rows, and the target's logit less the maximum where this rank holds it.
///
/// # Errors
/// Shapes, or a target without a row where all rows are held.
pub fn terms(
    logits: &Value,
    targets: &Value,
    max: &Value,
    first: Option<usize>,
) -> Result<Value, Unfit> {
    let [batch, positions, rows] = logits.shape()?;
    value::ids(targets)?;
    one_type(&[logits])?;
    one_type(&[max])?;
    targets.expect(&[batch, positions])?;
    max.expect(&[batch, positions])?;
    let (mut sums, mut picked) = (Vec::new(), Vec::new());
    for ((row, &target), &max) in logits
        .data
        .chunks_exact(rows)
        .zip(&targets.data)
        .zip(&max.data)
    {
        sums.push(row.iter().map(|logit| libm::exp(logit - max)).sum::<f64>());
        picked.push(local(target, first, rows)?.map_or(0.0, |index| row[index] - max));
    }
    sums.append(&mut picked);
    Ok(Value {
        dims: vec![2, batch, positions],
        dtype: max.dtype,
        data: sums,
    })
}

/// `report[0] += scale * sum(weights * (ln(terms[0]) - terms[1]))`.
///
/// # Errors
/// Shapes.
pub fn loss(
    terms: &Value,
    weights: Option<&Value>,
    report: &mut Value,
    scale: f64,
) -> Result<(), Unfit> {
    let (sums, picked) = halves(terms)?;
    report.expect(&[2])?;
    one_type(&[report])?;
    let weights = factors(weights, &terms.dims[1..])?;
    let total: f64 = sums
        .iter()
        .zip(picked)
        .zip(weights)
        .map(|((sum, picked), weight)| weight * (libm::log(*sum) - picked))
        .sum();
    report.data[0] += scale * total;
    Ok(())
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

/// `dlogits = scale * weights * (softmax - onehot)`.
///
/// # Errors
/// Shapes, or a target without a row where all rows are held.
pub fn backward(
    logits: &Value,
    targets: &Value,
    [max, terms]: [&Value; 2],
    weights: Option<&Value>,
    scale: f64,
    first: Option<usize>,
) -> Result<Value, Unfit> {
    let [batch, positions, rows] = logits.shape()?;
    value::ids(targets)?;
    one_type(&[logits])?;
    one_type(&[max, terms])?;
    targets.expect(&[batch, positions])?;
    max.expect(&[batch, positions])?;
    terms.expect(&[2, batch, positions])?;
    let (sums, _) = halves(terms)?;
    let mut data = Vec::with_capacity(logits.data.len());
    let places = logits
        .data
        .chunks_exact(rows)
        .zip(&targets.data)
        .zip(max.data.iter().zip(sums))
        .zip(factors(weights, &[batch, positions])?);
    for (((row, &target), (max, sum)), weight) in places {
        let (begin, scale) = (data.len(), scale * weight);
        data.extend(row.iter().map(|logit| scale * libm::exp(logit - max) / sum));
        if let Some(index) = local(target, first, rows)? {
            data[begin + index] -= scale;
        }
    }
    Ok(Value::like(logits, &logits.dims, data))
}

/// Sums and picked logits.
fn halves(terms: &Value) -> Result<(&[f64], &[f64]), Unfit> {
    let [two, batch, positions] = terms.shape()?;
    one_type(&[terms])?;
    if two != 2 {
        return Err(Unfit(format!("terms of {:?}", terms.dims)));
    }
    Ok(terms.data.split_at(batch * positions))
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

    fn whole_loss(logits: &Value, targets: &Value, weights: Option<&Value>, scale: f64) -> Value {
        let max = max(logits).unwrap();
        let terms = terms(logits, targets, &max, None).unwrap();
        let mut report = Value::free(&[2], vec![0.0; 2]);
        loss(&terms, weights, &mut report, scale).unwrap();
        Value::free(&[1], vec![report.data[0]])
    }

    #[test]
    fn backward_is_the_derivative_of_the_loss() {
        let (logits, targets) = (numbers(&[2, 3, 5], 1), tokens(&[2, 3], 5));
        let largest = max(&logits).unwrap();
        let parts = terms(&logits, &targets, &largest, None).unwrap();
        let weighted = Value::free(&[2, 3], vec![2.0, 0.0, 1.0, 0.0, 0.5, 2.5]);
        for weights in [None, Some(&weighted)] {
            let statistics = [&largest, &parts];
            let dlogits = backward(&logits, &targets, statistics, weights, 0.25, None).unwrap();
            let one = Value::free(&[1], vec![1.0]);
            assert_gradient(&logits, &dlogits, &one, |logits| {
                whole_loss(logits, &targets, weights, 0.25)
            });
        }
    }

    #[test]
    fn terms_of_shards_sum_to_the_whole() {
        let (logits, targets) = (numbers(&[1, 3, 4], 1), tokens(&[1, 3], 4));
        let largest = max(&logits).unwrap();
        let whole = terms(&logits, &targets, &largest, None).unwrap();
        let mut sum = [0.0; 6];
        for rank in 0..2 {
            let shard = value::cut(&logits, 2, 2, rank).unwrap();
            let part = terms(&shard, &targets, &largest, Some(rank * 2)).unwrap();
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
        assert!(whole_loss(&logits, &targets, None, 1.0).data[0].is_finite());
        let zero = Value::free(&[1, 2], vec![0.0; 2]);
        let terms = terms(&logits, &targets, &zero, None).unwrap();
        let mut report = Value::free(&[2], vec![0.0; 2]);
        loss(&terms, None, &mut report, 1.0).unwrap();
        assert!(!report.data[0].is_finite());
    }
}
