//! The norm of queries and keys: each head over the root of its mean square, times a weight; values pass.

use crate::HeadNorm;
use crate::reference::value::{Unfit, Value, one_type};

/// Which weight a head of packed columns takes: that of queries, that of keys, or none.
fn weight_of(norm: &HeadNorm, head: usize) -> Option<usize> {
    let group = norm.group as usize;
    match head % (group + 2) {
        part if part < group => Some(0),
        part if part == group => Some(1),
        _ => None,
    }
}

/// `y` and one over the root of each normed head.
///
/// # Errors
/// Shapes or types.
pub fn forward(x: &Value, weights: [&Value; 2], norm: &HeadNorm) -> Result<[Value; 2], Unfit> {
    let [batch, positions, _] = x.shape()?;
    let width = fits(x, weights, norm)?;
    let (mut y, mut rstds) = (Vec::with_capacity(x.data.len()), Vec::new());
    for (index, head) in x.data.chunks_exact(width).enumerate() {
        let Some(which) = weight_of(norm, index) else {
            y.extend(head);
            continue;
        };
        let square = head.iter().map(|x| x * x).sum::<f64>() / width as f64;
        let rstd = 1.0 / (square + norm.eps).sqrt();
        let scaled = head.iter().zip(&weights[which].data);
        y.extend(scaled.map(|(x, weight)| x * rstd * weight));
        rstds.push(rstd);
    }
    let normed = rstds.len() / (batch * positions).max(1);
    Ok([
        Value::like(x, &x.dims, y),
        Value::free(&[batch, positions, normed], rstds),
    ])
}

/// The gradient of the columns; those of the weights are added to `sums`.
///
/// # Errors
/// Shapes or types.
pub fn backward(
    dy: &Value,
    x: &Value,
    weights: [&Value; 2],
    rstd: &Value,
    [queries, keys]: [&mut Value; 2],
    norm: &HeadNorm,
) -> Result<Value, Unfit> {
    let width = fits(x, weights, norm)?;
    dy.expect(&x.dims)?;
    one_type(&[dy, x])?;
    let sums = [queries, keys];
    for sum in &sums {
        sum.expect(&[width])?;
    }
    let mut rstds = rstd.data.iter();
    let mut dx = Vec::with_capacity(x.data.len());
    let heads = dy.data.chunks_exact(width).zip(x.data.chunks_exact(width));
    for (index, (dy, x)) in heads.enumerate() {
        let Some(which) = weight_of(norm, index) else {
            dx.extend(dy);
            continue;
        };
        let missing = || Unfit("a statistic is missing".to_owned());
        let rstd = rstds.next().ok_or_else(missing)?;
        let inner = dy.iter().zip(&weights[which].data);
        let inner = inner.map(|(dy, weight)| dy * weight);
        let along = inner.clone().zip(x).map(|(inner, x)| inner * x * rstd);
        let along = along.sum::<f64>() / width as f64;
        let rows = inner.zip(x);
        dx.extend(rows.map(|(inner, x)| rstd * (inner - x * rstd * along)));
        let gains = dy.iter().zip(x).map(|(dy, x)| dy * x * rstd);
        let own = sums[which].data.iter_mut().zip(gains);
        own.for_each(|(sum, gain)| *sum += gain);
    }
    Ok(Value::like(x, &x.dims, dx))
}

/// The width of a head, where everything fits.
fn fits(x: &Value, weights: [&Value; 2], norm: &HeadNorm) -> Result<usize, Unfit> {
    let [_, _, packed] = x.shape()?;
    let width = norm.head_dim as usize;
    for weight in weights {
        weight.expect(&[width])?;
    }
    one_type(&[x])?;
    one_type(&weights)?;
    let columns = width * (norm.group as usize + 2);
    match columns > 0 && packed.is_multiple_of(columns) {
        true => Ok(width),
        false => Err(Unfit(format!("{packed} columns for heads of {width}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::ops::differences::{assert_gradient, numbers};

    #[test]
    fn backward_is_the_derivative() {
        for group in [1, 2] {
            let norm = HeadNorm {
                head_dim: 3,
                group,
                eps: 1e-2,
            };
            let columns = 2 * (group as usize + 2) * 3;
            let (x, dy) = (numbers(&[2, 2, columns], 1), numbers(&[2, 2, columns], 2));
            let (queries, keys) = (numbers(&[3], 3), numbers(&[3], 4));
            let y = |x: &Value, queries: &Value, keys: &Value| {
                let [y, _] = forward(x, [queries, keys], &norm).unwrap();
                y
            };
            let [_, rstd] = forward(&x, [&queries, &keys], &norm).unwrap();
            let mut sums = [(); 2].map(|()| Value::free(&[3], vec![0.0; 3]));
            let [first, second] = &mut sums;
            let weights = [&queries, &keys];
            let dx = backward(&dy, &x, weights, &rstd, [first, second], &norm).unwrap();
            assert_gradient(&x, &dx, &dy, |x| y(x, &queries, &keys));
            assert_gradient(&queries, &sums[0], &dy, |own| y(&x, own, &keys));
            assert_gradient(&keys, &sums[1], &dy, |own| y(&x, &queries, own));
        }
    }
}
