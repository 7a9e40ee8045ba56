//! Learned positions: a row of a table for each position of a sequence.

use crate::reference::value::{Unfit, Value, one_type};

/// `y[b, s] = x[b, s] + table[first + s]`.
///
/// # Errors
/// Shapes or types, or a position without a row.
pub fn forward(x: &Value, table: &Value, first: usize) -> Result<Value, Unfit> {
    let [_, positions, width] = x.shape()?;
    let rows = rows(table, width, first, positions)?;
    one_type(&[x, table])?;
    let own = table.data[rows].iter().cycle();
    let data = x.data.iter().zip(own).map(|(x, row)| x + row).collect();
    Ok(Value::like(x, &x.dims, data))
}

/// `dtable[first + s] += sum(dy[b, s])` over sequences.
///
/// # Errors
/// Shapes or types, or a position without a row.
pub fn backward(dy: &Value, dtable: &mut Value, first: usize) -> Result<(), Unfit> {
    let [batch, positions, width] = dy.shape()?;
    let rows = rows(dtable, width, first, positions)?;
    one_type(&[dy])?;
    one_type(&[dtable])?;
    let own = &mut dtable.data[rows];
    for sequence in dy.data.chunks_exact(dy.data.len() / batch.max(1)) {
        let pairs = own.iter_mut().zip(sequence);
        pairs.for_each(|(sum, dy)| *sum += dy);
    }
    Ok(())
}

/// The elements of the rows of these positions.
fn rows(
    table: &Value,
    width: usize,
    first: usize,
    positions: usize,
) -> Result<std::ops::Range<usize>, Unfit> {
    let [rows, columns] = table.shape()?;
    match columns == width && first + positions <= rows {
        true => Ok(first * width..(first + positions) * width),
        false => Err(Unfit(format!(
            "{rows} rows of {columns} for positions {first} to {} of {width}",
            first + positions
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::ops::differences::{assert_gradient, numbers};

    #[test]
    fn backward_is_the_derivative() {
        let (x, table, dy) = (
            numbers(&[2, 3, 4], 1),
            numbers(&[8, 4], 2),
            numbers(&[2, 3, 4], 3),
        );
        let mut dtable = Value::free(&[8, 4], vec![0.0; 32]);
        backward(&dy, &mut dtable, 3).unwrap();
        assert_gradient(&table, &dtable, &dy, |table| forward(&x, table, 3).unwrap());
        assert_gradient(&x, &dy, &dy, |x| forward(x, &table, 3).unwrap());
        assert!(forward(&x, &table, 6).is_err());
    }
}
