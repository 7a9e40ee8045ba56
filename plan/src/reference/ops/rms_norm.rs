//! RMSNorm over the last dimension: rows over the root of their mean square, times a weight.

use crate::reference::value::{Unfit, Value, one_type};

/// `y = x * rstd * weight`, with `rstd = 1 / sqrt(mean(x²) + eps)`.
///
/// # Errors
/// Shapes or types.
pub fn forward(x: &Value, weight: &Value, eps: f64) -> Result<[Value; 2], Unfit> {
    let [batch, positions, width] = x.shape()?;
    weight.expect(&[width])?;
    one_type(&[x])?;
    one_type(&[weight])?;
    let (mut y, mut rstds) = (Vec::with_capacity(x.data.len()), Vec::new());
    for row in x.data.chunks_exact(width) {
        let square = row.iter().map(|x| x * x).sum::<f64>() / width as f64;
        let rstd = 1.0 / (square + eps).sqrt();
        let scaled = row.iter().zip(&weight.data);
        y.extend(scaled.map(|(x, weight)| x * rstd * weight));
        rstds.push(rstd);
    }
    Ok([
        Value::like(x, &x.dims, y),
        Value::free(&[batch, positions], rstds),
    ])
}

/// The gradient of the input; that of the weight is added to `dweight`.
///
/// # Errors
/// Shapes or types.
pub fn backward(
    dy: &Value,
    x: &Value,
    weight: &Value,
    rstd: &Value,
    dweight: &mut Value,
) -> Result<Value, Unfit> {
    let [batch, positions, width] = x.shape()?;
    dy.expect(&x.dims)?;
    weight.expect(&[width])?;
    dweight.expect(&[width])?;
    rstd.expect(&[batch, positions])?;
    one_type(&[dy, x])?;
    one_type(&[rstd])?;
    one_type(&[dweight])?;
    let mut dx = Vec::with_capacity(x.data.len());
    let rows = dy.data.chunks_exact(width).zip(x.data.chunks_exact(width));
    for ((dy, x), rstd) in rows.zip(&rstd.data) {
        let inner = dy.iter().zip(&weight.data).map(|(dy, weight)| dy * weight);
        let along = inner.clone().zip(x).map(|(inner, x)| inner * x * rstd);
        let along = along.sum::<f64>() / width as f64;
        dx.extend(
            inner
                .zip(x)
                .map(|(inner, x)| rstd * (inner - x * rstd * along)),
        );
        for (sum, (dy, x)) in dweight.data.iter_mut().zip(dy.iter().zip(x)) {
            *sum += dy * x * rstd;
        }
    }
    Ok(Value::like(x, &x.dims, dx))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::ops::differences::{assert_gradient, numbers};

    #[test]
    fn backward_is_the_derivative() {
        let (x, weight, dy) = (
            numbers(&[2, 3, 4], 1),
            numbers(&[4], 2),
            numbers(&[2, 3, 4], 4),
        );
        let y = |x: &Value, weight: &Value| forward(x, weight, 1e-2).unwrap();
        let [_, rstd] = y(&x, &weight);
        let mut dweight = Value::free(&[4], vec![0.0; 4]);
        let dx = backward(&dy, &x, &weight, &rstd, &mut dweight).unwrap();
        assert_gradient(&x, &dx, &dy, |x| y(x, &weight)[0].clone());
        assert_gradient(&weight, &dweight, &dy, |weight| y(&x, weight)[0].clone());
    }

    #[test]
    fn rows_are_over_the_root_of_their_mean_square() {
        let x = Value::free(&[1, 1, 2], vec![3.0, 4.0]);
        let ones = Value::free(&[2], vec![1.0, 2.0]);
        let [y, rstd] = forward(&x, &ones, 0.0).unwrap();
        let root = 12.5_f64.sqrt();
        let near = |found: f64, wanted: f64| (found - wanted).abs() < 1e-15;
        assert!(near(y.data[0], 3.0 / root) && near(y.data[1], 8.0 / root));
        assert!(near(rstd.data[0], 1.0 / root));
    }
}
