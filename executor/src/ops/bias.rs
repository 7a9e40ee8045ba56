//! A bias on the last dimension, where it is not part of the matrix product.

use tch::Tensor;

use crate::native::Result;

/// `y = x + bias`, in the storage of `x` where that ends here.
pub fn forward(x: &Tensor, bias: &Tensor, ends: bool) -> Result<Tensor> {
    if ends {
        x.shallow_clone().f_add_(bias)
    } else {
        x.f_add(bias)
    }
}

/// Adds the sum over all rows of `dy` to `dbias`.
pub fn backward(dy: &Tensor, dbias: &Tensor) -> Result<()> {
    let sum = super::rows(dy)?.f_sum_dim_intlist([0i64].as_slice(), false, dbias.kind())?;
    let _ = dbias.shallow_clone().f_add_(&sum)?;
    Ok(())
}
