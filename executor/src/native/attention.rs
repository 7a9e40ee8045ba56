//! Attention kernels of a device, with the sums that their gradients need: causal, no mask, no dropout.

use std::ffi::c_int;

use tch::Tensor;
use torch_sys::C_tensor;

use super::{Result, check, raw};

type Forward = unsafe extern "C" fn(
    *mut C_tensor,
    *mut C_tensor,
    *mut C_tensor,
    *mut *mut C_tensor,
    *mut *mut C_tensor,
) -> c_int;
type Backward = unsafe extern "C" fn(
    *mut C_tensor,
    *mut C_tensor,
    *mut C_tensor,
    *mut C_tensor,
    *mut C_tensor,
    *mut C_tensor,
    *mut *mut C_tensor,
    *mut *mut C_tensor,
    *mut *mut C_tensor,
) -> c_int;

unsafe extern "C" {
    fn pleach_flash(
        q: *mut C_tensor,
        k: *mut C_tensor,
        v: *mut C_tensor,
        out: *mut *mut C_tensor,
        sums: *mut *mut C_tensor,
    ) -> c_int;
    fn pleach_flash_backward(
        dout: *mut C_tensor,
        q: *mut C_tensor,
        k: *mut C_tensor,
        v: *mut C_tensor,
        out: *mut C_tensor,
        sums: *mut C_tensor,
        dq: *mut *mut C_tensor,
        dk: *mut *mut C_tensor,
        dv: *mut *mut C_tensor,
    ) -> c_int;
    fn pleach_efficient(
        q: *mut C_tensor,
        k: *mut C_tensor,
        v: *mut C_tensor,
        out: *mut *mut C_tensor,
        sums: *mut *mut C_tensor,
    ) -> c_int;
    fn pleach_efficient_backward(
        dout: *mut C_tensor,
        q: *mut C_tensor,
        k: *mut C_tensor,
        v: *mut C_tensor,
        out: *mut C_tensor,
        sums: *mut C_tensor,
        dq: *mut *mut C_tensor,
        dk: *mut *mut C_tensor,
        dv: *mut *mut C_tensor,
    ) -> c_int;
}

/// Which kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// Flash attention, for 16 bits; heads of queries may share a head of keys and values.
    Flash,
    /// The memory-efficient kernel, for 32 bits too.
    Efficient,
}

/// `[B, A, S, D]` and the logarithm of each row's sum of exponentials, `[B, A, S]`.
///
/// # Errors
/// The kernel does not take such operands.
pub fn forward(kernel: Kernel, [q, k, v]: [&Tensor; 3]) -> Result<(Tensor, Tensor)> {
    let call: Forward = match kernel {
        Kernel::Flash => pleach_flash,
        Kernel::Efficient => pleach_efficient,
    };
    let (mut out, mut sums) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: all tensors outlive the call; on success both results are owned tensors.
    check(unsafe { call(raw(q), raw(k), raw(v), &raw mut out, &raw mut sums) })?;
    // SAFETY: the shim made them with `new`, as tch's own functions do.
    Ok(unsafe { (Tensor::from_ptr(out), Tensor::from_ptr(sums)) })
}

/// `(dq, dk, dv)` of `[dout, q, k, v, out, sums]`.
///
/// # Errors
/// The kernel does not take such operands.
pub fn backward(kernel: Kernel, operands: [&Tensor; 6]) -> Result<[Tensor; 3]> {
    let call: Backward = match kernel {
        Kernel::Flash => pleach_flash_backward,
        Kernel::Efficient => pleach_efficient_backward,
    };
    let [dout, q, k, v, out, sums] = operands.map(raw);
    let mut made = [std::ptr::null_mut(); 3];
    let [dq, dk, dv] = &mut made;
    // SAFETY: as above.
    check(unsafe { call(dout, q, k, v, out, sums, dq, dk, dv) })?;
    // SAFETY: as above.
    Ok(made.map(|one| unsafe { Tensor::from_ptr(one) }))
}
