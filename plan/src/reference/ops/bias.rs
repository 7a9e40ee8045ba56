//! The bias: one number added to each column.

use crate::reference::value::{Unfit, Value, one_type};

/// `y = x + bias`.
///
/// # Errors
/// Shapes or types.
pub fn forward(x: &Value, bias: &Value) -> Result<Value, Unfit> {
    let [_, _, width] = x.shape()?;
    bias.expect(&[width])?;
    one_type(&[x, bias])?;
    let rows = x.data.chunks_exact(width);
    let data = rows
        .flat_map(|row| row.iter().zip(&bias.data).map(|(x, bias)| x + bias))
        .collect();
    Ok(Value::like(x, &x.dims, data))
}

/// `dbias += sum(dy)` over sequences and positions.
///
/// # Errors
/// Shapes or types.
pub fn backward(dy: &Value, dbias: &mut Value) -> Result<(), Unfit> {
    let [_, _, width] = dy.shape()?;
    dbias.expect(&[width])?;
    one_type(&[dy])?;
    one_type(&[dbias])?;
    for row in dy.data.chunks_exact(width) {
        dbias
            .data
            .iter_mut()
            .zip(row)
            .for_each(|(sum, dy)| *sum += dy);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::ops::differences::{assert_gradient, numbers};

    #[test]
    fn backward_is_the_derivative() {
        let (x, bias, dy) = (
            numbers(&[2, 3, 4], 1),
            numbers(&[4], 2),
            numbers(&[2, 3, 4], 3),
        );
        let mut dbias = Value::free(&[4], vec![0.0; 4]);
        backward(&dy, &mut dbias).unwrap();
        assert_gradient(&bias, &dbias, &dy, |bias| forward(&x, bias).unwrap());
    }
}
