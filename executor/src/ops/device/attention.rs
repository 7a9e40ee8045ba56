//! Attention on a device: the best of libtorch's kernels that takes the operands, and where none does, products and a softmax.
//!
//! The last is the obvious twin of the others. It holds the scores of one sequence at a time, in the wide type.

use tch::{Kind, Tensor};

use crate::native::Result;
use crate::native::attention::{self, Kernel};
use crate::ops::wide;

/// The kernel for operands like these; none where only products and a softmax will do.
pub fn kernel_for(q: &Tensor, masked: bool) -> Option<Kernel> {
    let width = q.size().last().copied().unwrap_or(0);
    match q.kind() {
        _ if masked || !q.device().is_cuda() => None,
        Kind::Half | Kind::BFloat16 if width % 8 == 0 && width <= 256 => Some(Kernel::Flash),
        Kind::Half | Kind::BFloat16 if width % 8 == 0 => Some(Kernel::Efficient),
        Kind::Float if width % 4 == 0 => Some(Kernel::Efficient),
        _ => None,
    }
}

/// `[B, A, S, D]` and the logarithm of each row's sum, for as many heads of keys as of queries (flash: or fewer).
///
/// # Errors
/// libtorch's text.
pub fn forward(qkv: [&Tensor; 3], mask: Option<&Tensor>) -> Result<(Tensor, Tensor)> {
    match kernel_for(qkv[0], mask.is_some()) {
        Some(kernel) => attention::forward(kernel, qkv),
        None => plain(qkv, mask),
    }
}

/// `(dq, dk, dv)` of `[dout, q, k, v, out, sums]`.
///
/// # Errors
/// libtorch's text.
pub fn backward(operands: [&Tensor; 6], mask: Option<&Tensor>) -> Result<[Tensor; 3]> {
    match kernel_for(operands[1], mask.is_some()) {
        Some(kernel) => attention::backward(kernel, operands),
        None => plain_backward(operands, mask),
    }
}

/// The scores of one sequence, `[A, S, S]` in the wide type, nothing of what is later.
fn scores([q, k]: [&Tensor; 2], mask: Option<&Tensor>) -> Result<Tensor> {
    let width = q.size().last().copied().unwrap_or(1) as f64;
    let mut all = q
        .f_matmul(&k.f_transpose(-2, -1)?)?
        .f_mul_scalar_(1.0 / width.sqrt())?;
    if let Some(mask) = mask {
        all = all.f_add_(&mask.f_select(0, 0)?)?;
    }
    let later = all.f_ones_like()?.f_triu_(1)?.f_to_kind(Kind::Bool)?;
    all.f_masked_fill_(&later, f64::NEG_INFINITY)
}

/// One sequence's part of operands, in the wide type.
fn of<const N: usize>(all: [&Tensor; N], sequence: i64) -> Result<[Tensor; N]> {
    let mut parts = Vec::with_capacity(N);
    for one in all {
        parts.push(one.f_select(0, sequence)?.f_to_kind(wide(one.kind()))?);
    }
    parts
        .try_into()
        .map_err(|_| tch::TchError::Shape("operands of attention".to_owned()))
}

/// Attention by products and a softmax.
///
/// # Errors
/// libtorch's text.
pub fn plain(qkv: [&Tensor; 3], mask: Option<&Tensor>) -> Result<(Tensor, Tensor)> {
    let (batch, heads, positions, width) = qkv[0].size4()?;
    let (kind, device) = (qkv[0].kind(), qkv[0].device());
    let out = Tensor::f_empty([batch, positions, heads, width], (kind, device))?;
    let out = out.f_transpose(1, 2)?;
    let sums = Tensor::f_empty([batch, heads, positions], (wide(kind), device))?;
    for sequence in 0..batch {
        let [q, k, v] = of(qkv, sequence)?;
        let scores = scores([&q, &k], mask)?;
        let sum = scores.f_logsumexp([-1i64].as_slice(), false)?;
        let shares = scores.f_sub(&sum.f_unsqueeze(-1)?)?.f_exp_()?;
        out.f_select(0, sequence)?.f_copy_(&shares.f_matmul(&v)?)?;
        sums.f_select(0, sequence)?.f_copy_(&sum)?;
    }
    Ok((out, sums))
}

/// Its gradients.
///
/// # Errors
/// libtorch's text.
pub fn plain_backward(operands: [&Tensor; 6], mask: Option<&Tensor>) -> Result<[Tensor; 3]> {
    let [dout, q, k, v, out, sums] = operands;
    let made = [q, k, v].map(Tensor::f_empty_like);
    let [dq, dk, dv] = [&made[0], &made[1], &made[2]];
    let factor = 1.0 / (q.size4()?.3 as f64).sqrt();
    for sequence in 0..q.size4()?.0 {
        let [dout, q, k, v, out, sums] = of([dout, q, k, v, out, sums], sequence)?;
        let put = |into: &Result<Tensor>, value: Tensor| match into {
            Ok(into) => into.f_select(0, sequence)?.f_copy_(&value),
            Err(error) => Err(tch::TchError::Torch(error.to_string())),
        };
        let shares = scores([&q, &k], mask)?
            .f_sub_(&sums.f_unsqueeze(-1)?)?
            .f_exp_()?;
        put(dv, shares.f_transpose(-2, -1)?.f_matmul(&dout)?)?;
        let along = dout
            .f_mul(&out)?
            .f_sum_dim_intlist([-1i64].as_slice(), true, dout.kind())?;
        let mut pull = dout.f_matmul(&v.f_transpose(-2, -1)?)?.f_sub_(&along)?;
        let pull = pull.f_mul_(&shares)?.f_mul_scalar_(factor)?;
        put(dq, pull.f_matmul(&k)?)?;
        put(dk, pull.f_transpose(-2, -1)?.f_matmul(&q)?)?;
    }
    let [dq, dk, dv] = made;
    Ok([dq?, dk?, dv?])
}
