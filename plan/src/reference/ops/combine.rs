//! The weighted sum of what a token's experts gave.

use super::dispatch::order;
use crate::reference::value::{Unfit, Value, one_type};

/// `y[b, s] = sum of weights[b, s, j] rows[b, row of (s, j)]`.
///
/// # Errors
/// Shapes or types.
pub fn forward(rows: &Value, weights: &Value, choice: &Value) -> Result<Value, Unfit> {
    let ([batch, positions, active], width) = fits(rows, weights, choice)?;
    let mut data = vec![0.0; batch * positions * width];
    for (row, from) in rows.data.chunks_exact(width).zip(order(choice)?) {
        let target = &mut data[from / active * width..(from / active + 1) * width];
        let weight = weights.data[from];
        target
            .iter_mut()
            .zip(row)
            .for_each(|(sum, row)| *sum += weight * row);
    }
    Ok(Value::like(rows, &[batch, positions, width], data))
}

/// The gradients of rows and weights.
///
/// # Errors
/// Shapes or types.
pub fn backward(
    dy: &Value,
    rows: &Value,
    weights: &Value,
    choice: &Value,
) -> Result<[Value; 2], Unfit> {
    let ([batch, positions, active], width) = fits(rows, weights, choice)?;
    one_type(&[dy, rows])?;
    dy.expect(&[batch, positions, width])?;
    let mut drows = Vec::with_capacity(rows.data.len());
    let mut dweights = vec![0.0; weights.data.len()];
    for (row, from) in rows.data.chunks_exact(width).zip(order(choice)?) {
        let dy = &dy.data[from / active * width..(from / active + 1) * width];
        drows.extend(dy.iter().map(|dy| weights.data[from] * dy));
        dweights[from] = dy.iter().zip(row).map(|(dy, row)| dy * row).sum();
    }
    Ok([
        Value::like(rows, &rows.dims, drows),
        Value::like(rows, &weights.dims, dweights),
    ])
}

fn fits(rows: &Value, weights: &Value, choice: &Value) -> Result<([usize; 3], usize), Unfit> {
    let [batch, positions, active] = choice.shape()?;
    let [_, _, width] = rows.shape()?;
    one_type(&[rows])?;
    one_type(&[weights])?;
    rows.expect(&[batch, positions * active, width])?;
    weights.expect(&[batch, positions, active])?;
    Ok(([batch, positions, active], width))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dtype;
    use crate::reference::ops::differences::{assert_gradient, numbers};

    #[test]
    fn backward_is_the_derivative() {
        let choice = Value {
            dims: vec![2, 2, 2],
            dtype: Some(Dtype::I64),
            data: vec![2., 0., 1., 2., 0., 2., 2., 0.],
        };
        let (rows, weights) = (numbers(&[2, 4, 3], 1), numbers(&[2, 2, 2], 2));
        let dy = numbers(&[2, 2, 3], 3);
        let y = |rows: &Value, weights: &Value| forward(rows, weights, &choice).unwrap();
        let [drows, dweights] = backward(&dy, &rows, &weights, &choice).unwrap();
        assert_gradient(&rows, &drows, &dy, |rows| y(rows, &weights));
        assert_gradient(&weights, &dweights, &dy, |weights| y(&rows, weights));
    }
}
