//! Columns in three groups, each in a storage of its own.

use tch::Tensor;

use crate::native::Result;

/// The groups, one after the other.
pub fn forward(x: &Tensor, widths: [u64; 3]) -> Result<[Tensor; 3]> {
    let [a, b, c] = widths.map(u64::cast_signed);
    let group = |first, width| -> Result<Tensor> {
        let own = x.f_narrow(2, first, width)?;
        let mut made = Tensor::f_empty(own.size(), (x.kind(), x.device()))?;
        made.f_copy_(&own)?;
        Ok(made)
    };
    Ok([group(0, a)?, group(a, b)?, group(a + b, c)?])
}

/// The groups joined.
pub fn backward(parts: [&Tensor; 3]) -> Result<Tensor> {
    Tensor::f_cat(&parts, 2)
}
