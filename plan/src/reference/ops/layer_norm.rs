//! Layer norm over the last dimension, with biased variance.

use crate::reference::value::{Unfit, Value, one_type};

/// `y = (x - mean) * rstd * weight + bias`, with the statistics; the bias may be missing.
///
/// # Errors
/// Shapes or types.
pub fn forward(
    x: &Value,
    weight: &Value,
    bias: Option<&Value>,
    eps: f64,
) -> Result<[Value; 3], Unfit> {
    let [batch, positions, width] = x.shape()?;
    weight.expect(&[width])?;
    if let Some(bias) = bias {
        bias.expect(&[width])?;
        one_type(&[weight, bias])?;
    }
    one_type(&[x])?;
    let shift = |column: usize| bias.map_or(0.0, |bias| bias.data[column]);
    let (mut y, mut means, mut rstds) = (Vec::with_capacity(x.data.len()), Vec::new(), Vec::new());
    for row in x.data.chunks_exact(width) {
        let mean = row.iter().sum::<f64>() / width as f64;
        let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / width as f64;
        let rstd = 1.0 / (variance + eps).sqrt();
        let scaled = row.iter().zip(&weight.data).enumerate();
        y.extend(scaled.map(|(column, (x, weight))| (x - mean) * rstd * weight + shift(column)));
        means.push(mean);
        rstds.push(rstd);
    }
    let statistics = [batch, positions];
    Ok([
        Value::like(x, &x.dims, y),
        Value::free(&statistics, means),
        Value::free(&statistics, rstds),
    ])
}

/// The gradient of the input; those of weight and bias are added to `dweight` and `dbias`.
///
/// # Errors
/// Shapes or types.
pub fn backward(
    dy: &Value,
    x: &Value,
    weight: &Value,
    [mean, rstd]: [&Value; 2],
    (dweight, mut dbias): (&mut Value, Option<&mut Value>),
) -> Result<Value, Unfit> {
    let [batch, positions, width] = x.shape()?;
    dy.expect(&x.dims)?;
    for row in [weight, &*dweight] {
        row.expect(&[width])?;
    }
    if let Some(dbias) = dbias.as_deref() {
        dbias.expect(&[width])?;
        one_type(&[dweight, dbias])?;
    }
    mean.expect(&[batch, positions])?;
    rstd.expect(&[batch, positions])?;
    one_type(&[dy, x])?;
    one_type(&[mean, rstd])?;
    let mut dx = Vec::with_capacity(x.data.len());
    let rows = dy.data.chunks_exact(width).zip(x.data.chunks_exact(width));
    for ((dy, x), (mean, rstd)) in rows.zip(mean.data.iter().zip(&rstd.data)) {
        let normal: Vec<f64> = x.iter().map(|x| (x - mean) * rstd).collect();
        let inner: Vec<f64> = dy
            .iter()
            .zip(&weight.data)
            .map(|(dy, weight)| dy * weight)
            .collect();
        let average = inner.iter().sum::<f64>() / width as f64;
        let along = inner
            .iter()
            .zip(&normal)
            .map(|(inner, normal)| inner * normal)
            .sum::<f64>()
            / width as f64;
        dx.extend(
            inner
                .iter()
                .zip(&normal)
                .map(|(inner, normal)| rstd * (inner - average - normal * along)),
        );
        for (column, dy) in dy.iter().enumerate() {
            dweight.data[column] += dy * normal[column];
            if let Some(dbias) = dbias.as_deref_mut() {
                dbias.data[column] += dy;
            }
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
        let (x, weight, bias, dy) = (
            numbers(&[2, 3, 4], 1),
            numbers(&[4], 2),
            numbers(&[4], 3),
            numbers(&[2, 3, 4], 4),
        );
        let y =
            |x: &Value, weight: &Value, bias: &Value| forward(x, weight, Some(bias), 1e-5).unwrap();
        let [_, mean, rstd] = y(&x, &weight, &bias);
        let mut dweight = Value::free(&[4], vec![0.0; 4]);
        let mut dbias = dweight.clone();
        let dx = backward(
            &dy,
            &x,
            &weight,
            [&mean, &rstd],
            (&mut dweight, Some(&mut dbias)),
        )
        .unwrap();
        assert_gradient(&x, &dx, &dy, |x| y(x, &weight, &bias)[0].clone());
        assert_gradient(&weight, &dweight, &dy, |weight| {
            y(&x, weight, &bias)[0].clone()
        });
        assert_gradient(&bias, &dbias, &dy, |bias| y(&x, &weight, bias)[0].clone());
    }
}
