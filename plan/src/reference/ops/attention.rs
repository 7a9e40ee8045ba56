//! Causal softmax attention, scaled by one over the root of the head's width.

use crate::reference::value::{Unfit, Value, one_type};

/// `(q, k, v) -> (o, lse)`.
///
/// # Errors
/// Shapes or types.
pub fn forward(q: &Value, k: &Value, v: &Value) -> Result<[Value; 2], Unfit> {
    let [batch, heads, positions, width] = q.shape()?;
    k.expect(&q.dims)?;
    v.expect(&q.dims)?;
    one_type(&[q, k, v])?;
    let mut out = vec![0.0; q.data.len()];
    let mut lse = Vec::with_capacity(batch * heads * positions);
    for pair in 0..batch * heads {
        for position in 0..positions {
            let scores = scores(q, k, pair, position);
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = scores.iter().map(|score| libm::exp(score - largest)).sum();
            let normal = largest + libm::log(sum);
            lse.push(normal);
            let to = joined(pair, position, [heads, positions, width]);
            for (other, score) in scores.iter().enumerate() {
                let weight = libm::exp(score - normal);
                let row = row(v, pair, other);
                out[to..to + width]
                    .iter_mut()
                    .zip(row)
                    .for_each(|(sum, v)| *sum += weight * v);
            }
        }
    }
    let out = Value::like(q, &[batch, positions, heads * width], out);
    Ok([out, Value::free(&[batch, heads, positions], lse)])
}

/// `(do, q, k, v, o, lse) -> (dq, dk, dv)`.
///
/// # Errors
/// Shapes or types.
pub fn backward(
    grad: &Value,
    [q, k, v]: [&Value; 3],
    out: &Value,
    lse: &Value,
) -> Result<[Value; 3], Unfit> {
    let [batch, heads, positions, width] = q.shape()?;
    k.expect(&q.dims)?;
    v.expect(&q.dims)?;
    out.expect(&[batch, positions, heads * width])?;
    grad.expect(&out.dims)?;
    lse.expect(&[batch, heads, positions])?;
    one_type(&[grad, q, k, v, out])?;
    let scale = 1.0 / (width as f64).sqrt();
    let [mut dq, mut dk, mut dv] = [(); 3].map(|()| vec![0.0; q.data.len()]);
    for pair in 0..batch * heads {
        for position in 0..positions {
            let at = joined(pair, position, [heads, positions, width]);
            let (grad, out) = (&grad.data[at..at + width], &out.data[at..at + width]);
            let along = dot(grad, out);
            let here = (pair * positions + position) * width;
            for (other, score) in scores(q, k, pair, position).into_iter().enumerate() {
                let weight = libm::exp(score - lse.data[pair * positions + position]);
                let slope = weight * (dot(grad, row(v, pair, other)) - along) * scale;
                let there = (pair * positions + other) * width;
                for entry in 0..width {
                    dq[here + entry] += slope * k.data[there + entry];
                    dk[there + entry] += slope * q.data[here + entry];
                    dv[there + entry] += weight * grad[entry];
                }
            }
        }
    }
    Ok([dq, dk, dv].map(|data| Value::like(q, &q.dims, data)))
}

/// Scaled scores of a query with the keys up to its own position.
fn scores(q: &Value, k: &Value, pair: usize, position: usize) -> Vec<f64> {
    let query = row(q, pair, position);
    let scale = 1.0 / (query.len() as f64).sqrt();
    (0..=position)
        .map(|other| dot(query, row(k, pair, other)) * scale)
        .collect()
}

/// A head's row in `[B, A, S, D]`; `pair` counts sequences and heads together.
fn row(value: &Value, pair: usize, position: usize) -> &[f64] {
    let (positions, width) = (value.dims[2], value.dims[3]);
    let start = (pair * positions + position) * width;
    &value.data[start..start + width]
}

/// Where the same row begins in `[B, S, A * D]`.
fn joined(pair: usize, position: usize, [heads, positions, width]: [usize; 3]) -> usize {
    let (sequence, head) = (pair / heads, pair % heads);
    ((sequence * positions + position) * heads + head) * width
}

fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter()
        .zip(right)
        .map(|(left, right)| left * right)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::ops::differences::{assert_gradient, numbers};

    #[test]
    fn backward_is_the_derivative() {
        let dims = [2, 2, 4, 3];
        let (q, k, v, grad) = (
            numbers(&dims, 1),
            numbers(&dims, 2),
            numbers(&dims, 3),
            numbers(&[2, 4, 6], 4),
        );
        let [out, lse] = forward(&q, &k, &v).unwrap();
        let [dq, dk, dv] = backward(&grad, [&q, &k, &v], &out, &lse).unwrap();
        let y = |q: &Value, k: &Value, v: &Value| forward(q, k, v).unwrap()[0].clone();
        assert_gradient(&q, &dq, &grad, |q| y(q, &k, &v));
        assert_gradient(&k, &dk, &grad, |k| y(&q, k, &v));
        assert_gradient(&v, &dv, &grad, |v| y(&q, &k, v));
    }

    #[test]
    fn the_first_position_sees_only_itself() {
        let dims = [1, 1, 3, 2];
        let (q, k, v) = (numbers(&dims, 1), numbers(&dims, 2), numbers(&dims, 3));
        let [out, _] = forward(&q, &k, &v).unwrap();
        assert!(
            out.data[..2]
                .iter()
                .zip(&v.data)
                .all(|(out, v)| (out - v).abs() < 1e-15)
        );
    }
}
