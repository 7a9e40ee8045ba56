//! Kernels of the shim. Shapes are checked by the caller, types and contiguity by the shim.

use std::ffi::c_int;

use tch::Tensor;
use torch_sys::C_tensor;

use super::{Result, check, raw};

unsafe extern "C" {
    fn pleach_layer_norm_backward(
        dy: *mut C_tensor,
        x: *mut C_tensor,
        mean: *mut C_tensor,
        rstd: *mut C_tensor,
        weight: *mut C_tensor,
        dx: *mut *mut C_tensor,
    ) -> c_int;
    fn pleach_norm_parameters(
        dy: *mut C_tensor,
        x: *mut C_tensor,
        mean: *mut C_tensor,
        rstd: *mut C_tensor,
        dweight: *mut C_tensor,
        dbias: *mut C_tensor,
    ) -> c_int;
    fn pleach_rms_norm(
        x: *mut C_tensor,
        weight: *mut C_tensor,
        y: *mut C_tensor,
        rstd: *mut C_tensor,
        eps: f64,
    ) -> c_int;
    fn pleach_rms_norm_backward(
        dy: *mut C_tensor,
        x: *mut C_tensor,
        weight: *mut C_tensor,
        rstd: *mut C_tensor,
        dx: *mut C_tensor,
    ) -> c_int;
    fn pleach_embedding(
        y: *mut C_tensor,
        ids: *mut C_tensor,
        table: *mut C_tensor,
        first: i64,
    ) -> c_int;
    fn pleach_embedding_backward(
        dtable: *mut C_tensor,
        dy: *mut C_tensor,
        ids: *mut C_tensor,
        first: i64,
    ) -> c_int;
    fn pleach_split_heads(
        joint: *mut C_tensor,
        q: *mut C_tensor,
        k: *mut C_tensor,
        v: *mut C_tensor,
        table: *mut C_tensor,
        positions: i64,
        heads: i64,
        group: i64,
        width: i64,
        forward: c_int,
    ) -> c_int;
    fn pleach_dropout(
        x: *mut C_tensor,
        y: *mut C_tensor,
        keys: *mut C_tensor,
        threshold: i64,
        grown: f64,
    ) -> c_int;
    fn pleach_sum_squares(x: *mut C_tensor, sum: *mut f64) -> c_int;
}

/// The gradient of a LayerNorm's input, over the last dimension; statistics are `[…, 1]`.
///
/// # Errors
/// libtorch's text.
pub fn layer_norm_backward(
    dy: &Tensor,
    x: &Tensor,
    mean: &Tensor,
    rstd: &Tensor,
    weight: &Tensor,
) -> Result<Tensor> {
    let mut dx = std::ptr::null_mut();
    // SAFETY: all tensors outlive the call; on success the result is an owned tensor.
    check(unsafe {
        pleach_layer_norm_backward(
            raw(dy),
            raw(x),
            raw(mean),
            raw(rstd),
            raw(weight),
            &raw mut dx,
        )
    })?;
    // SAFETY: the shim made it with `new`, as tch's own functions do.
    Ok(unsafe { Tensor::from_ptr(dx) })
}

/// Adds the gradients of a norm's weight and bias to accumulators of the statistics' type, over `[mean, rstd]`. A norm without
/// a mean has no bias either.
///
/// # Errors
/// A tensor is not contiguous or of another type.
pub fn norm_parameters(
    [dy, x]: [&Tensor; 2],
    mean: Option<&Tensor>,
    rstd: &Tensor,
    dweight: &Tensor,
    dbias: Option<&Tensor>,
) -> Result<()> {
    let perhaps = |tensor: Option<&Tensor>| tensor.map_or(std::ptr::null_mut(), raw);
    // SAFETY: all tensors outlive the call; the caller has compared their sizes; the shim takes null for what is not there.
    check(unsafe {
        pleach_norm_parameters(
            raw(dy),
            raw(x),
            perhaps(mean),
            raw(rstd),
            raw(dweight),
            perhaps(dbias),
        )
    })
}

/// RMSNorm of the rows of `x` into `y` and the statistic.
///
/// # Errors
/// A tensor is not contiguous or of another type.
pub fn rms_norm(x: &Tensor, weight: &Tensor, [y, rstd]: [&Tensor; 2], eps: f64) -> Result<()> {
    // SAFETY: all tensors outlive the call; the caller has compared or made their sizes.
    check(unsafe { pleach_rms_norm(raw(x), raw(weight), raw(y), raw(rstd), eps) })
}

/// The gradient of an RMSNorm's input into `dx`, from `[dy, x, weight, rstd]`.
///
/// # Errors
/// A tensor is not contiguous or of another type.
pub fn rms_norm_backward([dy, x, weight, rstd]: [&Tensor; 4], dx: &Tensor) -> Result<()> {
    // SAFETY: as above.
    check(unsafe { pleach_rms_norm_backward(raw(dy), raw(x), raw(weight), raw(rstd), raw(dx)) })
}

/// Rows `ids - first` of the table into `y`; zeros for ids outside.
///
/// # Errors
/// A tensor is not contiguous.
pub fn embedding(y: &Tensor, ids: &Tensor, table: &Tensor, first: i64) -> Result<()> {
    // SAFETY: the shim stays inside the tensors' sizes whatever the ids are.
    check(unsafe { pleach_embedding(raw(y), raw(ids), raw(table), first) })
}

/// Adds rows of `dy` to rows `ids - first` of `dtable`; ids outside are skipped.
///
/// # Errors
/// A tensor is not contiguous or not of a floating type.
pub fn embedding_backward(dtable: &Tensor, dy: &Tensor, ids: &Tensor, first: i64) -> Result<()> {
    // SAFETY: as above.
    check(unsafe { pleach_embedding_backward(raw(dtable), raw(dy), raw(ids), first) })
}

/// Shape of a head split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Positions of a sequence.
    pub positions: i64,
    /// Heads of keys and values on this rank.
    pub heads: i64,
    /// Heads of queries for each of them.
    pub group: i64,
    /// Width of a head.
    pub width: i64,
}

/// Splits `[tokens, heads, group + 2, width]` into queries, keys and values, rotating q and k by the table
/// `[2, positions, half]` of cosines and sines; or, with `forward` false, the transpose.
///
/// # Errors
/// A tensor is not contiguous or not of a floating type.
pub fn split_heads(
    joint: &Tensor,
    parts: [&Tensor; 3],
    table: &Tensor,
    shape: Heads,
    forward: bool,
) -> Result<()> {
    let [q, k, v] = parts.map(raw);
    let Heads {
        positions,
        heads,
        group,
        width,
    } = shape;
    // SAFETY: the callers made all tensors of these sizes themselves.
    check(unsafe {
        pleach_split_heads(
            raw(joint),
            q,
            k,
            v,
            raw(table),
            positions,
            heads,
            group,
            width,
            c_int::from(forward),
        )
    })
}

/// The sum of all squares, in f64 and in an order that depends on the size alone.
///
/// # Errors
/// The tensor is not contiguous or not of a floating type.
pub fn sum_squares(x: &Tensor) -> Result<f64> {
    let mut sum = 0.0;
    // SAFETY: the tensor outlives the call.
    check(unsafe { pleach_sum_squares(raw(x), &raw mut sum) })?;
    Ok(sum)
}

/// Rows of `x` into `y`, which may be `x` itself: zero where a draw counted from the row's key is below the threshold, else `grown` times as large.
///
/// # Errors
/// A tensor is not contiguous, or there are not as many keys as rows.
pub fn dropout(x: &Tensor, y: &Tensor, keys: &Tensor, threshold: u32, grown: f64) -> Result<()> {
    // SAFETY: all tensors outlive the call.
    check(unsafe { pleach_dropout(raw(x), raw(y), raw(keys), threshold.into(), grown) })
}
