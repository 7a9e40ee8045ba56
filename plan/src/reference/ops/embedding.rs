//! The embedding: a row of the table for each id; rows that another rank holds count as zero.

use crate::reference::value::{self, Unfit, Value};

/// `y[b, s] = table[ids[b, s]]`. `first` is the first row that this rank holds, none where it holds all.
///
/// # Errors
/// Shapes, or an id without a row where all rows are held.
pub fn forward(ids: &Value, table: &Value, first: Option<usize>) -> Result<Value, Unfit> {
    value::ids(ids)?;
    value::one_type(&[table])?;
    let ([batch, positions], [rows, width]) = (ids.shape()?, table.shape()?);
    let mut data = Vec::with_capacity(ids.data.len() * width);
    for &id in &ids.data {
        match row(id, first, rows)? {
            Some(row) => data.extend_from_slice(&table.data[row * width..(row + 1) * width]),
            None => data.resize(data.len() + width, 0.0),
        }
    }
    Ok(Value::like(table, &[batch, positions, width], data))
}

/// `dtable[ids[b, s]] += dy[b, s]`.
///
/// # Errors
/// Shapes, or an id without a row where all rows are held.
pub fn backward(
    dy: &Value,
    ids: &Value,
    dtable: &mut Value,
    first: Option<usize>,
) -> Result<(), Unfit> {
    value::ids(ids)?;
    value::one_type(&[dy])?;
    value::one_type(&[dtable])?;
    let ([batch, positions], [rows, width]) = (ids.shape()?, dtable.shape()?);
    dy.expect(&[batch, positions, width])?;
    for (&id, grad) in ids.data.iter().zip(dy.data.chunks_exact(width)) {
        if let Some(row) = row(id, first, rows)? {
            let target = &mut dtable.data[row * width..(row + 1) * width];
            target
                .iter_mut()
                .zip(grad)
                .for_each(|(sum, grad)| *sum += grad);
        }
    }
    Ok(())
}

/// The local row of an id; none where another rank holds it.
fn row(id: f64, first: Option<usize>, rows: usize) -> Result<Option<usize>, Unfit> {
    match first {
        None if id >= 0.0 && (id as usize) < rows => Ok(Some(id as usize)),
        None => Err(Unfit(format!("token {id} has no row in a table of {rows}"))),
        Some(first) => Ok((id as usize).checked_sub(first).filter(|&row| row < rows)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::ops::differences::{assert_gradient, numbers, tokens};

    #[test]
    fn backward_is_the_derivative_whole_and_sharded() {
        let (ids, table) = (tokens(&[2, 3], 4), numbers(&[4, 5], 1));
        for (first, rows) in [(None, 4), (Some(2), 2)] {
            let table = Value::free(&[rows, 5], table.data[..rows * 5].to_vec());
            let dy = numbers(&[2, 3, 5], 2);
            let mut dtable = Value::free(&[rows, 5], vec![0.0; rows * 5]);
            backward(&dy, &ids, &mut dtable, first).unwrap();
            assert_gradient(&table, &dtable, &dy, |table| {
                forward(&ids, table, first).unwrap()
            });
        }
    }
}
