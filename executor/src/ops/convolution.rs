//! The short convolution: a shifted product for each of its few taps.

use tch::Tensor;

use crate::native::Result;

/// For each tap how far back it reaches, and its weight for each channel; taps that reach in front of the sequence left out.
fn taps(weight: &Tensor, positions: i64) -> Result<Vec<(i64, Tensor)>> {
    let (_, count) = weight.size2()?;
    let near = (0..count)
        .rev()
        .take_while(|tap| count - 1 - tap < positions);
    near.map(|tap| Ok((count - 1 - tap, weight.f_select(1, tap)?)))
        .collect()
}

/// `y[b, s, c] = sum of weight[c, w] x[b, s - (W - 1) + w, c]`.
pub fn forward(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let positions = x.size3()?.1;
    let y = Tensor::f_zeros(x.size(), (x.kind(), x.device()))?;
    for (back, own) in taps(weight, positions)? {
        let rest = positions - back;
        let _ = y
            .f_narrow(1, back, rest)?
            .f_add_(&x.f_narrow(1, 0, rest)?.f_mul(&own)?)?;
    }
    Ok(y)
}

/// `dx`; the gradient of the weights is added to `dweight`.
pub fn backward(dy: &Tensor, x: &Tensor, weight: &Tensor, dweight: &Tensor) -> Result<Tensor> {
    let positions = x.size3()?.1;
    let dx = Tensor::f_zeros(x.size(), (x.kind(), x.device()))?;
    let sums = taps(dweight, positions)?;
    for ((back, own), (_, mut sum)) in taps(weight, positions)?.into_iter().zip(sums) {
        let rest = positions - back;
        let (dy, x) = (dy.f_narrow(1, back, rest)?, x.f_narrow(1, 0, rest)?);
        let _ = dx.f_narrow(1, 0, rest)?.f_add_(&dy.f_mul(&own)?)?;
        let gain = dy.f_mul(&x)?;
        let gain = gain.f_sum_dim_intlist([0i64, 1].as_slice(), false, sum.kind())?;
        let _ = sum.f_add_(&gain)?;
    }
    Ok(dx)
}
