//! Causal softmax attention, scaled by one over the root of the head's width.

use crate::reference::value::{Unfit, Value, one_type};

/// What heads look at.
#[derive(Clone, Debug, PartialEq)]
pub struct Heads {
    /// Heads of queries that share a head of keys and values.
    pub group: usize,
    /// How many positions a query looks at, its own and those just before.
    pub window: usize,
    /// For each head of queries, what a key's position is multiplied with to be added to its score.
    pub slopes: Vec<f64>,
}

impl Heads {
    /// Refuses operands of other shapes; gives batch, heads of queries, positions and width.
    fn shapes(&self, q: &Value, k: &Value, v: &Value) -> Result<[usize; 4], Unfit> {
        let [batch, heads, positions, width] = q.shape()?;
        if self.group == 0 || !heads.is_multiple_of(self.group) || self.slopes.len() != heads {
            return Err(Unfit(format!("{heads} heads in groups of {}", self.group)));
        }
        k.expect(&[batch, heads / self.group, positions, width])?;
        v.expect(&k.dims)?;
        Ok([batch, heads, positions, width])
    }

    /// The keys that a position looks at.
    fn seen(&self, position: usize) -> core::ops::RangeInclusive<usize> {
        (position + 1).saturating_sub(self.window)..=position
    }

    /// The pair of sequence and head of keys that a pair of sequence and head of queries looks at.
    fn keys(&self, pair: usize) -> usize {
        pair / self.group
    }

    /// Scaled scores of a query with the keys that it sees.
    fn scores(&self, q: &Value, k: &Value, pair: usize, position: usize) -> Vec<f64> {
        let query = row(q, pair, position);
        let scale = 1.0 / (query.len() as f64).sqrt();
        let slope = self.slopes[pair % self.slopes.len()];
        let score = |other: usize| {
            dot(query, row(k, self.keys(pair), other)) * scale + slope * other as f64
        };
        self.seen(position).map(score).collect()
    }
}

/// `(q, k, v) -> (o, lse)`.
///
/// # Errors
/// Shapes or types.
pub fn forward(q: &Value, k: &Value, v: &Value, how: &Heads) -> Result<[Value; 2], Unfit> {
    let [batch, heads, positions, width] = how.shapes(q, k, v)?;
    one_type(&[q, k, v])?;
    let mut out = vec![0.0; q.data.len()];
    let mut lse = Vec::with_capacity(batch * heads * positions);
    for pair in 0..batch * heads {
        for position in 0..positions {
            let scores = how.scores(q, k, pair, position);
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = scores.iter().map(|score| libm::exp(score - largest)).sum();
            let normal = largest + libm::log(sum);
            lse.push(normal);
            let to = joined(pair, position, [heads, positions, width]);
            for (other, score) in how.seen(position).zip(&scores) {
                let weight = libm::exp(score - normal);
                let row = row(v, how.keys(pair), other);
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
    how: &Heads,
) -> Result<[Value; 3], Unfit> {
    let [batch, heads, positions, width] = how.shapes(q, k, v)?;
    out.expect(&[batch, positions, heads * width])?;
    grad.expect(&out.dims)?;
    lse.expect(&[batch, heads, positions])?;
    one_type(&[grad, q, k, v, out])?;
    let scale = 1.0 / (width as f64).sqrt();
    let [mut dq, mut dk, mut dv] = [q, k, v].map(|part| vec![0.0; part.data.len()]);
    for pair in 0..batch * heads {
        for position in 0..positions {
            let at = joined(pair, position, [heads, positions, width]);
            let (grad, out) = (&grad.data[at..at + width], &out.data[at..at + width]);
            let along = dot(grad, out);
            let here = (pair * positions + position) * width;
            let scores = how.scores(q, k, pair, position);
            for (other, score) in how.seen(position).zip(scores) {
                let weight = libm::exp(score - lse.data[pair * positions + position]);
                let slope = weight * (dot(grad, row(v, how.keys(pair), other)) - along) * scale;
                let there = (how.keys(pair) * positions + other) * width;
                for entry in 0..width {
                    dq[here + entry] += slope * k.data[there + entry];
                    dk[there + entry] += slope * q.data[here + entry];
                    dv[there + entry] += weight * grad[entry];
                }
            }
        }
    }
    Ok([
        Value::like(q, &q.dims, dq),
        Value::like(k, &k.dims, dk),
        Value::like(v, &v.dims, dv),
    ])
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

    const PLAIN: Heads = Heads {
        group: 1,
        window: usize::MAX,
        slopes: Vec::new(),
    };

    fn check(how: &Heads) {
        let (keys, queries) = ([2, 2, 4, 3], [2, 2 * how.group, 4, 3]);
        let (q, k, v) = (numbers(&queries, 1), numbers(&keys, 2), numbers(&keys, 3));
        let grad = numbers(&[2, 4, 6 * how.group], 4);
        let [out, lse] = forward(&q, &k, &v, how).unwrap();
        let [dq, dk, dv] = backward(&grad, [&q, &k, &v], &out, &lse, how).unwrap();
        let y = |q: &Value, k: &Value, v: &Value| forward(q, k, v, how).unwrap()[0].clone();
        assert_gradient(&q, &dq, &grad, |q| y(q, &k, &v));
        assert_gradient(&k, &dk, &grad, |k| y(&q, k, &v));
        assert_gradient(&v, &dv, &grad, |v| y(&q, &k, v));
    }

    #[test]
    fn backward_is_the_derivative() {
        let plain = |heads| Heads {
            slopes: vec![0.0; heads],
            ..PLAIN
        };
        check(&plain(2));
        check(&Heads {
            group: 2,
            ..plain(4)
        });
        check(&Heads {
            window: 2,
            ..plain(2)
        });
        check(&Heads {
            slopes: vec![0.5, 0.1],
            ..PLAIN
        });
    }

    #[test]
    fn a_window_of_one_sees_only_itself() {
        let dims = [1, 1, 3, 2];
        let (q, k, v) = (numbers(&dims, 1), numbers(&dims, 2), numbers(&dims, 3));
        let how = Heads {
            window: 1,
            slopes: vec![0.0],
            ..PLAIN
        };
        let [out, _] = forward(&q, &k, &v, &how).unwrap();
        let pairs = out.data.iter().zip(&v.data);
        assert!(pairs.into_iter().all(|(out, v)| (out - v).abs() < 1e-15));
    }

    #[test]
    fn slopes_fall_with_distance() {
        let dims = [1, 1, 3, 2];
        let zeros = Value::free(&dims, vec![0.0; 6]);
        let v = Value::free(&dims, vec![1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
        let how = Heads {
            slopes: vec![1.0],
            ..PLAIN
        };
        let [out, _] = forward(&zeros, &zeros, &v, &how).unwrap();
        let weights = [-2.0_f64, -1.0, 0.0].map(libm::exp);
        let sum: f64 = weights.iter().sum();
        assert!((out.data[4] - weights[0] / sum).abs() < 1e-15);
        assert!((out.data[5] - weights[1] / sum).abs() < 1e-15);
    }
}
