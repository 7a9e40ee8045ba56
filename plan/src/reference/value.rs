//! Values of the reference interpreter: numbers in f64 with their dimensions, and how they are cut and joined.

use crate::Dtype;

/// A tensor's content. Ids are whole numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Dimensions.
    pub dims: Vec<usize>,
    /// The type it is declared with; none for a fresh result whose type the plan may choose.
    pub dtype: Option<Dtype>,
    /// Elements, last dimension fastest.
    pub data: Vec<f64>,
}

/// Operands that an operation cannot work on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(pub String);

impl Value {
    /// A result of the type of `like`.
    pub fn like(like: &Value, dims: &[usize], data: Vec<f64>) -> Self {
        Value {
            dims: dims.to_vec(),
            dtype: like.dtype,
            data,
        }
    }

    /// A result whose type the plan declares.
    pub fn free(dims: &[usize], data: Vec<f64>) -> Self {
        Value {
            dims: dims.to_vec(),
            dtype: None,
            data,
        }
    }

    /// The dimensions, if there are `N` of them and none is zero.
    ///
    /// # Errors
    /// Another number of dimensions, or an empty one.
    pub fn shape<const N: usize>(&self) -> Result<[usize; N], Unfit> {
        let shape = <[usize; N]>::try_from(self.dims.as_slice());
        let shape = shape
            .ok()
            .filter(|shape| shape.iter().all(|&size| size > 0));
        shape.ok_or_else(|| Unfit(format!("{:?} does not have {N} dimensions", self.dims)))
    }

    /// Refuses other dimensions than these.
    ///
    /// # Errors
    /// The dimensions differ.
    pub fn expect(&self, dims: &[usize]) -> Result<(), Unfit> {
        match self.dims == dims {
            true => Ok(()),
            false => Err(Unfit(format!(
                "{:?} stands where {dims:?} is needed",
                self.dims
            ))),
        }
    }
}

/// Refuses operands of different types.
///
/// # Errors
/// Two types differ.
pub fn one_type(values: &[&Value]) -> Result<(), Unfit> {
    let types: Vec<Option<Dtype>> = values.iter().map(|value| value.dtype).collect();
    match types.windows(2).all(|pair| pair[0] == pair[1])
        && types.first() != Some(&Some(Dtype::I64))
    {
        true => Ok(()),
        false => Err(Unfit(format!("operands of types {types:?} are mixed"))),
    }
}

/// Refuses anything but token ids.
///
/// # Errors
/// Another type.
pub fn ids(value: &Value) -> Result<(), Unfit> {
    match value.dtype {
        Some(Dtype::I64) => Ok(()),
        other => Err(Unfit(format!(
            "{other:?} stands where token ids are needed"
        ))),
    }
}

/// Piece `index` of `pieces` equal ones along `dim`.
///
/// # Errors
/// The dimension cannot be cut so.
pub fn cut(value: &Value, dim: usize, pieces: usize, index: usize) -> Result<Value, Unfit> {
    let size = value.dims.get(dim).copied().unwrap_or(0);
    if pieces == 0 || index >= pieces || size % pieces != 0 || size == 0 {
        return Err(Unfit(format!(
            "dimension {dim} of {:?} cannot be cut into {pieces} pieces",
            value.dims
        )));
    }
    let inner: usize = value.dims[dim + 1..].iter().product();
    let piece = size / pieces * inner;
    let rows = value.data.chunks_exact(size * inner);
    let data = rows
        .flat_map(|row| &row[index * piece..(index + 1) * piece])
        .copied()
        .collect();
    let mut dims = value.dims.clone();
    dims[dim] = size / pieces;
    Ok(Value {
        dims,
        dtype: value.dtype,
        data,
    })
}

/// Pieces of equal dimensions joined along `dim`.
///
/// # Errors
/// There is no such dimension, or the pieces differ.
pub fn join(pieces: &[&Value], dim: usize) -> Result<Value, Unfit> {
    let first = pieces
        .first()
        .ok_or_else(|| Unfit("nothing to join".to_owned()))?;
    if dim >= first.dims.len() {
        return Err(Unfit(format!(
            "{:?} has no dimension {dim} to join along",
            first.dims
        )));
    }
    pieces
        .iter()
        .try_for_each(|piece| piece.expect(&first.dims))?;
    let outer: usize = first.dims[..dim].iter().product();
    let row: usize = first.dims[dim..].iter().product();
    let data = (0..outer)
        .flat_map(|index| {
            pieces
                .iter()
                .flat_map(move |piece| &piece.data[index * row..(index + 1) * row])
        })
        .copied()
        .collect();
    let mut dims = first.dims.clone();
    dims[dim] *= pieces.len();
    Ok(Value {
        dims,
        dtype: first.dtype,
        data,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_join_to_the_whole() {
        let whole = Value::free(&[2, 6, 2], (0..24).map(f64::from).collect());
        for (dim, pieces) in [(0, 2), (1, 3), (2, 2), (1, 1)] {
            let parts: Vec<Value> = (0..pieces)
                .map(|index| cut(&whole, dim, pieces, index).unwrap())
                .collect();
            assert_eq!(join(&parts.iter().collect::<Vec<_>>(), dim).unwrap(), whole);
        }
        assert_eq!(
            cut(&whole, 1, 3, 1).unwrap().data,
            [4., 5., 6., 7., 16., 17., 18., 19.]
        );
        assert!(cut(&whole, 1, 4, 0).is_err() && cut(&whole, 3, 1, 0).is_err());
    }
}
