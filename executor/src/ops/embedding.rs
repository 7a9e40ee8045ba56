//! Embedding: rows of a table by id, and the sum of gradients into those rows.

use tch::Tensor;

use super::width;
use crate::native::{Result, kernels};

/// `y[b, s] = table[ids[b, s] - first]`, zeros for rows of other ranks.
pub fn forward(ids: &Tensor, table: &Tensor, first: i64) -> Result<Tensor> {
    let mut dims = ids.size();
    dims.push(width(table));
    let y = Tensor::f_empty(&dims, (table.kind(), table.device()))?;
    kernels::embedding(&y, ids, table, first)?;
    Ok(y)
}

/// Adds each `dy[b, s]` to `dtable[ids[b, s] - first]`.
pub fn backward(dy: &Tensor, ids: &Tensor, dtable: &Tensor, first: i64) -> Result<()> {
    kernels::embedding_backward(dtable, dy, ids, first)
}
