//! Learned positions: rows of a table added to the positions of every sequence.

use tch::Tensor;

use crate::native::Result;

/// `y[b, s] = x[b, s] + table[first + s]`, in the storage of `x` where that ends here.
pub fn forward(x: &Tensor, table: &Tensor, first: i64, ends: bool) -> Result<Tensor> {
    let rows = rows(x, table, first)?;
    if ends {
        x.shallow_clone().f_add_(&rows)
    } else {
        x.f_add(&rows)
    }
}

/// Adds the sum of `dy` over sequences to rows `first..` of `dtable`.
pub fn backward(dy: &Tensor, dtable: &Tensor, first: i64) -> Result<()> {
    let sum = dy.f_sum_dim_intlist([0i64].as_slice(), false, dtable.kind())?;
    let _ = rows(dy, dtable, first)?.f_add_(&sum)?;
    Ok(())
}

fn rows(x: &Tensor, table: &Tensor, first: i64) -> Result<Tensor> {
    table.f_narrow(0, first, x.size3()?.1)
}
