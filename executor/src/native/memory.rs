//! Bytes that libtorch really holds: the worker's own allocator, which counts, and the storage behind a tensor.

use std::ffi::c_int;
use std::sync::Once;

use tch::Tensor;
use torch_sys::C_tensor;

use super::{check, raw};

unsafe extern "C" {
    fn pleach_memory_count() -> c_int;
    fn pleach_memory_live() -> i64;
    fn pleach_memory_peak() -> i64;
    fn pleach_memory_begin_window();
    fn pleach_memory_window() -> i64;
    fn pleach_memory_extent() -> i64;
    fn pleach_storage(tensor: *mut C_tensor, address: *mut usize, bytes: *mut u64) -> c_int;
}

/// Puts the worker's allocator in front of libtorch's, once for the process: tensors come from one arena and are counted.
pub fn count() {
    static ONCE: Once = Once::new();
    // SAFETY: replaces a global pointer, once; blocks made before are still freed by their own allocator.
    ONCE.call_once(|| drop(check(unsafe { pleach_memory_count() })));
}

/// Bytes allocated since counting began and not yet freed.
pub fn live() -> u64 {
    // SAFETY: reads an atomic.
    u64::try_from(unsafe { pleach_memory_live() }).unwrap_or(0)
}

/// The most that was live since counting began.
pub fn peak() -> u64 {
    // SAFETY: reads an atomic.
    u64::try_from(unsafe { pleach_memory_peak() }).unwrap_or(0)
}

/// Bytes of the arena that have ever been given out at once with their gaps: what tensors add to the resident size.
pub fn extent() -> u64 {
    // SAFETY: reads a number under a lock.
    u64::try_from(unsafe { pleach_memory_extent() }).unwrap_or(0)
}

/// Begins a measurement of its own, whose most is [`window`].
pub fn begin_window() {
    // SAFETY: writes an atomic.
    unsafe { pleach_memory_begin_window() }
}

/// The most that was live since [`begin_window`].
pub fn window() -> u64 {
    // SAFETY: reads an atomic.
    u64::try_from(unsafe { pleach_memory_window() }).unwrap_or(0)
}

/// Where a tensor's storage lies and how many bytes it has, whatever part of it the tensor shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Storage {
    /// Its address: equal for tensors that share it.
    pub address: usize,
    /// Its size.
    pub bytes: u64,
}

/// The storage behind a tensor.
pub fn storage(tensor: &Tensor) -> Storage {
    let (mut address, mut bytes) = (0, 0);
    // SAFETY: the tensor outlives the call; a dense tensor always has a storage.
    let found = check(unsafe { pleach_storage(raw(tensor), &raw mut address, &raw mut bytes) });
    debug_assert!(found.is_ok(), "dense tensors have storages");
    Storage { address, bytes }
}
