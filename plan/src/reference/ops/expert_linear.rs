//! The product of each row with its expert's matrix; input and weight gradients are operations of their own.

use super::dispatch::order;
use super::route::choices;
use crate::reference::value::{Unfit, Value, one_type};

/// `y[b, r] = weight[expert of r] rows[b, r]`.
///
/// # Errors
/// Shapes or types, or an expert that there is not.
pub fn forward(rows: &Value, weight: &Value, choice: &Value) -> Result<Value, Unfit> {
    let [experts, outs, ins] = weight.shape()?;
    one_type(&[rows, weight])?;
    let owners = owners(rows, choice, experts, ins)?;
    let mut data = Vec::with_capacity(owners.len() * outs);
    for (row, expert) in rows.data.chunks_exact(ins).zip(owners) {
        let matrix = &weight.data[expert * outs * ins..(expert + 1) * outs * ins];
        let entry = |line: &[f64]| line.iter().zip(row).map(|(w, x)| w * x).sum::<f64>();
        data.extend(matrix.chunks_exact(ins).map(entry));
    }
    Ok(Value::like(rows, &[rows.dims[0], rows.dims[1], outs], data))
}

/// `drows[b, r] = weight[expert of r]ᵀ dy[b, r]`.
///
/// # Errors
/// Shapes or types, or an expert that there is not.
pub fn backward_input(dy: &Value, weight: &Value, choice: &Value) -> Result<Value, Unfit> {
    let [experts, outs, ins] = weight.shape()?;
    one_type(&[dy, weight])?;
    let owners = owners(dy, choice, experts, outs)?;
    let mut data = vec![0.0; owners.len() * ins];
    let rows = dy.data.chunks_exact(outs).zip(data.chunks_exact_mut(ins));
    for ((dy, drow), expert) in rows.zip(owners) {
        let matrix = &weight.data[expert * outs * ins..(expert + 1) * outs * ins];
        for (line, dy) in matrix.chunks_exact(ins).zip(dy) {
            drow.iter_mut()
                .zip(line)
                .for_each(|(sum, w)| *sum += w * dy);
        }
    }
    Ok(Value::like(dy, &[dy.dims[0], dy.dims[1], ins], data))
}

/// `dweight[e] += dyᵀ rows` over the rows of each expert.
///
/// # Errors
/// Shapes or types, or an expert that there is not.
pub fn backward_weight(
    dy: &Value,
    rows: &Value,
    choice: &Value,
    dweight: &mut Value,
) -> Result<(), Unfit> {
    let [experts, outs, ins] = dweight.shape()?;
    one_type(&[dy, rows])?;
    one_type(&[dweight])?;
    owners(dy, choice, experts, outs)?;
    let owners = owners(rows, choice, experts, ins)?;
    let pairs = dy.data.chunks_exact(outs).zip(rows.data.chunks_exact(ins));
    for ((dy, row), expert) in pairs.zip(owners) {
        let matrix = &mut dweight.data[expert * outs * ins..(expert + 1) * outs * ins];
        for (line, dy) in matrix.chunks_exact_mut(ins).zip(dy) {
            line.iter_mut().zip(row).for_each(|(sum, x)| *sum += dy * x);
        }
    }
    Ok(())
}

/// The expert of each row.
fn owners(rows: &Value, choice: &Value, experts: usize, width: usize) -> Result<Vec<usize>, Unfit> {
    let [batch, positions, active] = choice.shape()?;
    rows.expect(&[batch, positions * active, width])?;
    let chosen = choices(choice, experts)?;
    Ok(order(choice)?
        .into_iter()
        .map(|from| chosen[from])
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dtype;
    use crate::reference::ops::differences::{assert_gradient, numbers};

    #[test]
    fn backward_is_the_derivative() {
        // The second expert has no row in the second sequence.
        let choice = Value {
            dims: vec![2, 2, 2],
            dtype: Some(Dtype::I64),
            data: vec![2., 0., 1., 2., 0., 2., 2., 0.],
        };
        let (rows, weight) = (numbers(&[2, 4, 3], 1), numbers(&[3, 2, 3], 2));
        let dy = numbers(&[2, 4, 2], 3);
        let y = |rows: &Value, weight: &Value| forward(rows, weight, &choice).unwrap();
        let drows = backward_input(&dy, &weight, &choice).unwrap();
        assert_gradient(&rows, &drows, &dy, |rows| y(rows, &weight));
        let mut dweight = Value::free(&[3, 2, 3], vec![0.0; 18]);
        backward_weight(&dy, &rows, &choice, &mut dweight).unwrap();
        assert_gradient(&weight, &dweight, &dy, |weight| y(&rows, weight));
    }
}
