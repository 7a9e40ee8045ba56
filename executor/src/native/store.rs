//! The key-value store that ranks meet at: c10d's TCPStore, listening only where it is told to.
//!
//! TCPStore knows no authentication; [`crate::rendezvous`] shakes hands over it before anything in it is believed.

use std::ffi::{c_char, c_int, c_void};
use std::net::TcpListener;
use std::os::fd::IntoRawFd;
use std::time::Duration;

use super::{Result, check, text};

#[repr(C)]
pub(super) struct RawStore(c_void);

unsafe extern "C" {
    fn pleach_store_open(
        host: *const c_char,
        port: c_int,
        listener: c_int,
        deadline_ms: i64,
        out: *mut *mut RawStore,
    ) -> c_int;
    fn pleach_store_prefix(
        store: *mut RawStore,
        prefix: *const c_char,
        out: *mut *mut RawStore,
    ) -> c_int;
    fn pleach_store_set(
        store: *mut RawStore,
        key: *const c_char,
        bytes: *const u8,
        length: usize,
    ) -> c_int;
    fn pleach_store_get(
        store: *mut RawStore,
        key: *const c_char,
        deadline_ms: i64,
        bytes: *mut u8,
        capacity: usize,
        length: *mut usize,
    ) -> c_int;
    fn pleach_store_close(store: *mut RawStore);
}

/// The longest value that is taken out of a store; what is longer was not put there by us.
const LONGEST: usize = 4096;

/// A connection to the store, or a prefix of one.
pub struct Store(*mut RawStore);

// SAFETY: c10d's stores lock around every request.
unsafe impl Send for Store {}

impl Store {
    /// Serves a store on `listener`, which decides the interface, and connects to it.
    ///
    /// # Errors
    /// libtorch's text.
    pub fn serve(
        listener: TcpListener,
        host: &str,
        port: u16,
        deadline: Duration,
    ) -> Result<Store> {
        Store::open(host, port, listener.into_raw_fd(), deadline)
    }

    /// Connects to a store, trying again until the deadline.
    ///
    /// # Errors
    /// Nobody answers there in time.
    pub fn connect(host: &str, port: u16, deadline: Duration) -> Result<Store> {
        Store::open(host, port, -1, deadline)
    }

    fn open(host: &str, port: u16, listener: c_int, deadline: Duration) -> Result<Store> {
        let (host, mut out) = (text(host), std::ptr::null_mut());
        // SAFETY: the text outlives the call, and `out` is written only on success.
        check(unsafe {
            pleach_store_open(
                host.as_ptr(),
                c_int::from(port),
                listener,
                milliseconds(deadline),
                &raw mut out,
            )
        })?;
        Ok(Store(out))
    }

    /// The same store with every key under `prefix`.
    ///
    /// # Errors
    /// libtorch's text.
    pub fn prefixed(&self, prefix: &str) -> Result<Store> {
        let (prefix, mut out) = (text(prefix), std::ptr::null_mut());
        // SAFETY: as above; the new handle holds the old store alive.
        check(unsafe { pleach_store_prefix(self.0, prefix.as_ptr(), &raw mut out) })?;
        Ok(Store(out))
    }

    /// Sets a key.
    ///
    /// # Errors
    /// The server is gone.
    pub fn set(&self, key: &str, value: &[u8]) -> Result<()> {
        let key = text(key);
        // SAFETY: key and value outlive the call, which copies both.
        check(unsafe { pleach_store_set(self.0, key.as_ptr(), value.as_ptr(), value.len()) })
    }

    /// Waits for a key and gives its value, of which at most 4096 bytes are taken.
    ///
    /// # Errors
    /// It did not appear in time, or the server is gone.
    pub fn get(&self, key: &str, deadline: Duration) -> Result<Vec<u8>> {
        let (key, mut value, mut length) = (text(key), vec![0; LONGEST], 0);
        // SAFETY: the shim writes at most `value.len()` bytes.
        check(unsafe {
            pleach_store_get(
                self.0,
                key.as_ptr(),
                milliseconds(deadline),
                value.as_mut_ptr(),
                value.len(),
                &raw mut length,
            )
        })?;
        value.truncate(length.min(LONGEST));
        Ok(value)
    }

    pub(super) fn raw(&self) -> *mut RawStore {
        self.0
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: the handle came from the shim and is closed once.
        unsafe { pleach_store_close(self.0) }
    }
}

/// A deadline as the shim takes it.
pub(super) fn milliseconds(deadline: Duration) -> i64 {
    i64::try_from(deadline.as_millis()).unwrap_or(i64::MAX)
}
