//! A rank's piece of a replicated tensor, in a storage of its own.

use tch::Tensor;

use crate::native::Result;

/// Piece `index` of `count` equal ones along `dim`.
pub fn run(x: &Tensor, dim: usize, count: u32, index: u32) -> Result<Tensor> {
    let mut dims = x.size();
    let piece = dims[dim] / i64::from(count);
    let part = x.f_narrow(dim as i64, i64::from(index) * piece, piece)?;
    dims[dim] = piece;
    let mut own = Tensor::f_empty(&dims, (x.kind(), x.device()))?;
    own.f_copy_(&part)?;
    Ok(own)
}
