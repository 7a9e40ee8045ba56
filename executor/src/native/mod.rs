//! The C++ shim's Rust half: what libtorch offers and tch does not bind.
//!
//! In come tch tensors, out come results or the text of libtorch's error; no pointer of the shim leaves this module. The
//! parts: rendezvous ([`store`]), communication ([`group`]), kernels ([`kernels`]), counted memory ([`memory`]) and the
//! device ([`cuda`]).

pub mod attention;
pub mod cuda;
pub mod group;
pub mod kernels;
pub mod memory;
#[cfg(feature = "cuda")]
pub mod nccl;
pub mod store;
pub mod updates;
pub mod version;

use std::ffi::{CStr, CString, c_char, c_int};

use tch::{TchError, Tensor};
use torch_sys::C_tensor;

pub use group::{Group, Work};
pub use store::Store;

/// What kernels and the shim answer.
pub type Result<T> = std::result::Result<T, TchError>;

unsafe extern "C" {
    fn pleach_last_error() -> *const c_char;
}

/// Turns a code of the shim into a result.
fn check(code: c_int) -> Result<()> {
    if code == 0 {
        return Ok(());
    }
    // SAFETY: the text belongs to this thread and lives until its next call of the shim.
    let text = unsafe { CStr::from_ptr(pleach_last_error()) }.to_string_lossy();
    Err(TchError::Torch(essence(&text)))
}

/// libtorch's message without the C++ stack behind it.
pub fn essence(text: &str) -> String {
    let end = ["\nException raised from", "\nC++ CapturedTraceback"]
        .iter()
        .filter_map(|mark| text.find(mark))
        .min();
    text[..end.unwrap_or(text.len())].trim().to_owned()
}

/// A C string; names that hold a zero byte are cut there, none of ours do.
fn text(value: &str) -> CString {
    let end = value.find('\0').unwrap_or(value.len());
    CString::new(&value[..end]).expect("the text was cut before its first zero byte")
}

/// The pointer that the shim takes. It changes values through it, never the tensor's shape or storage.
fn raw(tensor: &Tensor) -> *mut C_tensor {
    tensor.as_ptr().cast_mut()
}
