//! Causal softmax attention by libtorch's flash kernels, on a device those of [`device::attention`]: of scores nothing of size `S × S` is ever held.
//!
//! Where heads of queries share a head of keys and values, the kernel runs once for each head of a group, on views: keys and values
//! are never copied. What a window or ALiBi adds to scores is one mask for all sequences.

use pleach_plan::Scores;
use tch::{Device, Kind, Tensor};

use super::{device, wide};
use crate::device::upload;
use crate::native::Result;
use crate::native::attention::Kernel;

/// What the kernel is told beside its operands.
#[derive(Debug)]
pub struct How {
    group: i64,
    /// For each head of a group what is added to its scores, as far as they are not the same: `[1, G, 1, S]`, `[1, 1, S, S]` or both added, `[1, G, S, S]`.
    masks: Vec<Option<Tensor>>,
}

impl How {
    /// For queries `[B, A, S, D]` of which the first head is that of all ranks with this number.
    ///
    /// # Errors
    /// libtorch's text.
    pub fn new(scores: &Scores, queries: &Tensor, first: u64) -> Result<How> {
        let (_, heads, positions, _) = queries.size4()?;
        let group = scores.group.max(1);
        let options = (wide(queries.kind()), queries.device());
        let window = scores
            .window
            .map(|window| hidden(positions, window, options));
        let window = window.transpose()?;
        let own = first..first + heads.unsigned_abs();
        let mask = |member: u64| {
            let Some(alibi) = scores.alibi else {
                return Ok(window.as_ref().map(Tensor::shallow_clone));
            };
            let shared = own.clone().skip(member as usize).step_by(group as usize);
            let slopes: Vec<f64> = shared.map(|head| alibi.slope(head)).collect();
            let rows = sloped(&slopes, positions, options)?;
            let both = window.as_ref().map(|window| window.f_add(&rows));
            both.unwrap_or(Ok(rows)).map(Some)
        };
        let masks = (0..group).map(mask).collect::<Result<_>>()?;
        Ok(How {
            group: group as i64,
            masks,
        })
    }

    /// What is added to the scores of a member of each group.
    pub fn mask(&self, member: usize) -> Option<&Tensor> {
        self.masks.get(member).and_then(Option::as_ref)
    }

    /// Whether one call serves all heads: none share keys, or the kernel lets them.
    fn is_one_call(&self, q: &Tensor) -> bool {
        let masked = self.masks.iter().any(Option::is_some);
        self.group == 1 || device::attention::kernel_for(q, masked) == Some(Kernel::Flash)
    }
}

/// `[1, G, 1, S]`: each head's slope times the key's position.
fn sloped(slopes: &[f64], positions: i64, (kind, device): (Kind, Device)) -> Result<Tensor> {
    let keys = Tensor::f_arange(positions, (Kind::Double, Device::Cpu))?;
    let rows = Tensor::f_from_slice(slopes)?.f_outer(&keys)?;
    upload(&rows.f_to_kind(kind)?, device)?.f_view([1, slopes.len() as i64, 1, positions])
}

/// `[1, 1, S, S]`: minus infinity where the key is as far back as the window is wide, or farther.
fn hidden(positions: i64, window: u64, options: (Kind, Device)) -> Result<Tensor> {
    let far = -i64::try_from(window).unwrap_or(i64::MAX);
    let square = [1, 1, positions, positions];
    Tensor::f_full(square, f64::NEG_INFINITY, options)?.f_tril_(far)
}

/// `o[B, S, A * D]` and the logarithm of each row's sum of exponentials, `[B, A, S]`.
pub fn forward(qkv: [&Tensor; 3], how: &How) -> Result<[Tensor; 2]> {
    let [q, k, v] = qkv;
    let (batch, heads, positions, width) = q.size4()?;
    if how.is_one_call(q) {
        let (out, lse) = kernel([q, k, v], how.masks[0].as_ref())?;
        let joined = out
            .f_transpose(1, 2)?
            .f_reshape([batch, positions, heads * width])?;
        return Ok([joined, lse]);
    }
    let out = Tensor::f_empty([batch, positions, heads, width], (q.kind(), q.device()))?;
    let lse = Tensor::f_empty([batch, heads, positions], (wide(q.kind()), q.device()))?;
    for (member, mask) in (0..).zip(&how.masks) {
        let own = |x: &Tensor, dim| {
            x.f_unflatten(dim, [-1, how.group])?
                .f_select(dim + 1, member)
        };
        let (part, sums) = kernel([&own(q, 1)?, k, v], mask.as_ref())?;
        own(&out, 2)?.f_copy_(&part.f_transpose(1, 2)?)?;
        own(&lse, 1)?.f_copy_(&sums)?;
    }
    Ok([out.f_view([batch, positions, heads * width])?, lse])
}

fn kernel([q, k, v]: [&Tensor; 3], mask: Option<&Tensor>) -> Result<(Tensor, Tensor)> {
    if q.device() != Device::Cpu {
        return device::attention::forward([q, k, v], mask);
    }
    Tensor::f_internal_scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, true, mask, None)
}

/// `(dq, dk, dv)`, each `[B, A, S, D]` or `[B, G, S, D]`.
pub fn backward(
    dout: &Tensor,
    qkv: [&Tensor; 3],
    out: &Tensor,
    lse: &Tensor,
    how: &How,
) -> Result<[Tensor; 3]> {
    let [q, k, v] = qkv;
    let (batch, heads, positions, width) = q.size4()?;
    let split = |joined: &Tensor| {
        joined
            .f_view([batch, positions, heads, width])?
            .f_transpose(1, 2)
    };
    let (dout, out) = (split(dout)?, split(out)?);
    if how.is_one_call(q) {
        return kernel_backward([&dout, q, k, v, &out, lse], how.masks[0].as_ref());
    }
    let dq = Tensor::f_empty([batch, positions, heads, width], (q.kind(), q.device()))?;
    let dq = dq.f_transpose(1, 2)?;
    let mut sums: Option<[Tensor; 2]> = None;
    for (member, mask) in (0..).zip(&how.masks) {
        let own = |x: &Tensor| x.f_unflatten(1, [-1, how.group])?.f_select(2, member);
        let operands = [&own(&dout)?, &own(q)?, k, v, &own(&out)?, &own(lse)?];
        let [part, dk, dv] = kernel_backward(operands, mask.as_ref())?;
        own(&dq)?.f_copy_(&part)?;
        sums = Some(match sums {
            None => [
                dk.f_to_kind(wide(dk.kind()))?,
                dv.f_to_kind(wide(dv.kind()))?,
            ],
            Some([mut keys, mut values]) => [keys.f_add_(&dk)?, values.f_add_(&dv)?],
        });
    }
    let [dk, dv] = sums.ok_or_else(|| tch::TchError::Shape("a group of no heads".to_owned()))?;
    Ok([dq, dk.f_to_kind(k.kind())?, dv.f_to_kind(v.kind())?])
}

fn kernel_backward(operands: [&Tensor; 6], mask: Option<&Tensor>) -> Result<[Tensor; 3]> {
    let [dout, q, k, v, out, lse] = operands;
    if q.device() != Device::Cpu {
        return device::attention::backward(operands, mask);
    }
    let (dq, dk, dv) = Tensor::f_internal_scaled_dot_product_flash_attention_for_cpu_backward(
        dout, q, k, v, out, lse, 0.0, true, mask, None,
    )?;
    Ok([dq, dk, dv])
}
