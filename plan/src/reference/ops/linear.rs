//! The matrix product with weights stored as `[outputs, inputs]`.

use crate::reference::value::{Unfit, Value, one_type};

/// `y = x weightᵀ`.
///
/// # Errors
/// Shapes or types.
pub fn forward(x: &Value, weight: &Value) -> Result<Value, Unfit> {
    let ([batch, positions, inputs], [outputs, columns]) = (x.shape()?, weight.shape()?);
    weight.expect(&[outputs, inputs])?;
    one_type(&[x, weight])?;
    let mut data = Vec::with_capacity(batch * positions * outputs);
    for row in x.data.chunks_exact(columns) {
        data.extend(
            weight
                .data
                .chunks_exact(columns)
                .map(|column| dot(row, column)),
        );
    }
    Ok(Value::like(x, &[batch, positions, outputs], data))
}

/// `dx = dy weight`.
///
/// # Errors
/// Shapes or types.
pub fn backward_input(dy: &Value, weight: &Value) -> Result<Value, Unfit> {
    let ([batch, positions, width], [outputs, inputs]) = (dy.shape()?, weight.shape()?);
    weight.expect(&[width, inputs])?;
    one_type(&[dy, weight])?;
    let mut data = vec![0.0; batch * positions * inputs];
    for (row, out) in dy
        .data
        .chunks_exact(outputs)
        .zip(data.chunks_exact_mut(inputs))
    {
        for (dy, weights) in row.iter().zip(weight.data.chunks_exact(inputs)) {
            out.iter_mut()
                .zip(weights)
                .for_each(|(sum, weight)| *sum += dy * weight);
        }
    }
    Ok(Value::like(dy, &[batch, positions, inputs], data))
}

/// `dweight += dyᵀ x`.
///
/// # Errors
/// Shapes or types.
pub fn backward_weight(dy: &Value, x: &Value, dweight: &mut Value) -> Result<(), Unfit> {
    let ([batch, positions, inputs], [_, _, outputs]) = (x.shape()?, dy.shape()?);
    dy.expect(&[batch, positions, outputs])?;
    dweight.expect(&[outputs, inputs])?;
    one_type(&[dy, x])?;
    one_type(&[dweight])?;
    for (dy, x) in dy
        .data
        .chunks_exact(outputs)
        .zip(x.data.chunks_exact(inputs))
    {
        for (dy, sums) in dy.iter().zip(dweight.data.chunks_exact_mut(inputs)) {
            sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += dy * x);
        }
    }
    Ok(())
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
        let (x, weight, dy) = (
            numbers(&[2, 3, 4], 1),
            numbers(&[5, 4], 2),
            numbers(&[2, 3, 5], 3),
        );
        let dx = backward_input(&dy, &weight).unwrap();
        assert_gradient(&x, &dx, &dy, |x| forward(x, &weight).unwrap());
        let mut dweight = Value::free(&[5, 4], vec![0.0; 20]);
        backward_weight(&dy, &x, &mut dweight).unwrap();
        assert_gradient(&weight, &dweight, &dy, |weight| {
            forward(&x, weight).unwrap()
        });
    }
}
