//! Sending tokens to experts: a sequence's tokens once for each expert that they are sent to, sorted by expert, then by position.

use crate::reference::value::{self, Unfit, Value, one_type};

/// For each row of each sequence which of the choices it belongs to, counted over the whole batch: sorted by expert, then by position.
///
/// # Errors
/// Shapes or types.
pub fn order(choice: &Value) -> Result<Vec<usize>, Unfit> {
    let [_, positions, active] = choice.shape()?;
    value::ids(choice)?;
    let each = positions * active;
    let mut order: Vec<usize> = (0..choice.data.len()).collect();
    for sequence in order.chunks_exact_mut(each) {
        sequence.sort_by(|&one, &other| choice.data[one].total_cmp(&choice.data[other]));
    }
    Ok(order)
}

/// `rows[b, r] = x[b, position of r]`.
///
/// # Errors
/// Shapes or types.
pub fn forward(x: &Value, choice: &Value) -> Result<Value, Unfit> {
    let [batch, positions, width] = x.shape()?;
    let [_, _, active] = choice.shape()?;
    one_type(&[x])?;
    choice.expect(&[batch, positions, active])?;
    let rows = order(choice)?;
    let row = |&from: &usize| &x.data[from / active * width..(from / active + 1) * width];
    let data = rows.iter().flat_map(row).copied().collect();
    Ok(Value::like(x, &[batch, positions * active, width], data))
}

/// `dx[b, s]`: the sum over the rows of `s`.
///
/// # Errors
/// Shapes or types.
pub fn backward(drows: &Value, choice: &Value) -> Result<Value, Unfit> {
    let [batch, positions, active] = choice.shape()?;
    let [_, _, width] = drows.shape()?;
    one_type(&[drows])?;
    drows.expect(&[batch, positions * active, width])?;
    let mut data = vec![0.0; batch * positions * width];
    for (row, from) in drows.data.chunks_exact(width).zip(order(choice)?) {
        let target = &mut data[from / active * width..(from / active + 1) * width];
        target
            .iter_mut()
            .zip(row)
            .for_each(|(sum, row)| *sum += row);
    }
    Ok(Value::like(drows, &[batch, positions, width], data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dtype;
    use crate::reference::ops::differences::{assert_gradient, numbers};

    /// Two sequences of three tokens, two of four experts for each.
    fn choice() -> Value {
        Value {
            dims: vec![2, 3, 2],
            dtype: Some(Dtype::I64),
            data: vec![3., 0., 1., 3., 0., 1., 2., 3., 2., 0., 3., 2.],
        }
    }

    #[test]
    fn rows_are_sorted_by_expert_and_position() {
        let x = Value::free(&[2, 3, 1], (0..6).map(f64::from).collect());
        let rows = forward(&x, &choice()).unwrap();
        assert_eq!(rows.dims, [2, 6, 1]);
        assert_eq!(rows.data, [0., 2., 1., 2., 0., 1., 4., 3., 4., 5., 3., 5.]);
    }

    #[test]
    fn backward_is_the_derivative() {
        let (x, drows) = (numbers(&[2, 3, 2], 1), numbers(&[2, 6, 2], 2));
        let dx = backward(&drows, &choice()).unwrap();
        assert_gradient(&x, &dx, &drows, |x| forward(x, &choice()).unwrap());
    }
}
