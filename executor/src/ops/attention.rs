//! Causal softmax attention by libtorch's flash kernels for the CPU: nothing of size `S × S` is ever held.

use tch::Tensor;

use crate::native::Result;

/// No attention mask beside the causal one.
const NO_MASK: Option<Tensor> = None;

/// `o[B, S, A * D]` and the logarithm of each row's sum of exponentials, `[B, A, S]`.
pub fn forward(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<[Tensor; 2]> {
    let (out, lse) = Tensor::f_internal_scaled_dot_product_flash_attention_for_cpu(
        q, k, v, 0.0, true, NO_MASK, None,
    )?;
    let (batch, heads, positions, width) = out.size4()?;
    let joined = out
        .f_transpose(1, 2)?
        .f_reshape([batch, positions, heads * width])?;
    Ok([joined, lse])
}

/// `(dq, dk, dv)`, each `[B, A, S, D]`.
pub fn backward(
    dout: &Tensor,
    qkv: [&Tensor; 3],
    out: &Tensor,
    lse: &Tensor,
) -> Result<[Tensor; 3]> {
    let [q, k, v] = qkv;
    let (batch, heads, positions, width) = q.size4()?;
    let split = |joined: &Tensor| {
        joined
            .f_view([batch, positions, heads, width])?
            .f_transpose(1, 2)
    };
    let (dq, dk, dv) = Tensor::f_internal_scaled_dot_product_flash_attention_for_cpu_backward(
        &split(dout)?,
        q,
        k,
        v,
        &split(out)?,
        lse,
        0.0,
        true,
        NO_MASK,
        None,
    )?;
    Ok([dq, dk, dv])
}
