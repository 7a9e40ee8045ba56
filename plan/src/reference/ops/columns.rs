//! Columns in three groups.

use crate::reference::value::{Unfit, Value, one_type};

/// The groups, one after the other.
///
/// # Errors
/// Shapes or types.
pub fn forward(x: &Value, widths: [u64; 3]) -> Result<[Value; 3], Unfit> {
    let [batch, positions, columns] = x.shape()?;
    one_type(&[x])?;
    let widths = widths.map(|width| width as usize);
    if widths.iter().sum::<usize>() != columns {
        return Err(Unfit(format!("{columns} columns in groups of {widths:?}")));
    }
    let starts = [0, widths[0], widths[0] + widths[1]];
    let group = |index: usize| {
        let own = starts[index]..starts[index] + widths[index];
        let rows = x.data.chunks_exact(columns);
        let data = rows.flat_map(|row| &row[own.clone()]).copied().collect();
        Value::like(x, &[batch, positions, widths[index]], data)
    };
    Ok([0, 1, 2].map(group))
}

/// The groups joined.
///
/// # Errors
/// Shapes or types.
pub fn backward(parts: [&Value; 3], widths: [u64; 3]) -> Result<Value, Unfit> {
    let [batch, positions, _] = parts[0].shape()?;
    one_type(&parts)?;
    for (part, width) in parts.iter().zip(widths) {
        part.expect(&[batch, positions, width as usize])?;
    }
    let mut data = Vec::new();
    for row in 0..batch * positions {
        for part in parts {
            let width = part.dims[2];
            data.extend(&part.data[row * width..(row + 1) * width]);
        }
    }
    let columns = widths.iter().sum::<u64>() as usize;
    Ok(Value::like(parts[0], &[batch, positions, columns], data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::ops::differences::numbers;

    #[test]
    fn joining_undoes_cutting() {
        let (x, widths) = (numbers(&[2, 3, 6], 1), [1, 3, 2]);
        let parts = forward(&x, widths).unwrap();
        assert_eq!(parts[1].data[..3], x.data[1..4]);
        assert_eq!(backward(parts.each_ref(), widths).unwrap(), x);
        assert!(forward(&x, [1, 3, 3]).is_err());
    }
}
