//! Updates of the shim, each fused into one pass. Sizes, types and contiguity are checked there.

use std::ffi::c_int;

use tch::Tensor;
use torch_sys::C_tensor;

use super::{Result, check, raw};

unsafe extern "C" {
    fn pleach_adam(
        weight: *mut C_tensor,
        gradient: *mut C_tensor,
        m: *mut C_tensor,
        v: *mut C_tensor,
        step: i64,
        rate: f64,
        beta1: f64,
        beta2: f64,
        eps: f64,
        weight_decay: f64,
        decoupled: c_int,
        skipped: *mut C_tensor,
    ) -> c_int;
    fn pleach_lion(
        weight: *mut C_tensor,
        gradient: *mut C_tensor,
        m: *mut C_tensor,
        rate: f64,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
    ) -> c_int;
    fn pleach_sgd(
        weight: *mut C_tensor,
        gradient: *mut C_tensor,
        m: *mut C_tensor,
        rate: f64,
        momentum: f64,
        nesterov: c_int,
        weight_decay: f64,
    ) -> c_int;
}

/// The constants of an update by Adam.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Learning rate.
    pub rate: f64,
    /// Decays of the moments.
    pub betas: [f64; 2],
    /// Added to the denominator.
    pub eps: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Whether it shrinks the weight itself, or is added to the gradient.
    pub decoupled: bool,
}

/// One fused update of `[weight, m, v, gradient]`, the `count`-th (from 1).
///
/// # Errors
/// libtorch's text.
pub fn adam(state: [&Tensor; 4], count: u64, constants: &Adam) -> Result<()> {
    adam_unless(state, count, constants, None)
}

/// The same, of which nothing happens where `skipped`, one f32 on the device, is 1.
///
/// # Errors
/// libtorch's text.
pub fn adam_unless(
    [weight, m, v, gradient]: [&Tensor; 4],
    count: u64,
    constants: &Adam,
    skipped: Option<&Tensor>,
) -> Result<()> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    // SAFETY: all tensors outlive the call.
    check(unsafe {
        pleach_adam(
            raw(weight),
            raw(gradient),
            raw(m),
            raw(v),
            count,
            constants.rate,
            constants.betas[0],
            constants.betas[1],
            constants.eps,
            constants.weight_decay,
            c_int::from(constants.decoupled),
            skipped.map_or(std::ptr::null_mut(), raw),
        )
    })
}

/// The constants of an update by Lion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lion {
    /// Learning rate.
    pub rate: f64,
    /// Share of the momentum in what is followed, and its decay.
    pub betas: [f64; 2],
    /// Decoupled weight decay.
    pub weight_decay: f64,
}

/// One fused update of `[weight, m, gradient]`.
///
/// # Errors
/// The shim's text.
pub fn lion([weight, m, gradient]: [&Tensor; 3], constants: &Lion) -> Result<()> {
    // SAFETY: all tensors outlive the call.
    check(unsafe {
        pleach_lion(
            raw(weight),
            raw(gradient),
            raw(m),
            constants.rate,
            constants.betas[0],
            constants.betas[1],
            constants.weight_decay,
        )
    })
}

/// The constants of gradient descent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Learning rate.
    pub rate: f64,
    /// Share of the last update in the next.
    pub momentum: f64,
    /// Whether the gradient is taken where the momentum leads.
    pub nesterov: bool,
    /// What of the weight is added to its gradient.
    pub weight_decay: f64,
}

/// One fused update of `[weight, m, gradient]`.
///
/// # Errors
/// The shim's text.
pub fn sgd([weight, m, gradient]: [&Tensor; 3], constants: &Sgd) -> Result<()> {
    // SAFETY: all tensors outlive the call.
    check(unsafe {
        pleach_sgd(
            raw(weight),
            raw(gradient),
            raw(m),
            constants.rate,
            constants.momentum,
            c_int::from(constants.nesterov),
            constants.weight_decay,
        )
    })
}
