//! A number of bytes that is shared out.
//!
//! In come sizes; out come shares, as soon as there is room for them. A share is given back when it is dropped. What is larger than all has its share when no other is out.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// How much is out, and how much may be.
pub(super) struct Budget {
    most: usize,
    out: Mutex<usize>,
    freed: Condvar,
}

/// Bytes that are out until it is dropped.
pub(super) struct Share {
    of: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub fn new(most: usize) -> Budget {
        Budget {
            most,
            out: Mutex::default(),
            freed: Condvar::new(),
        }
    }

    /// Waits for room.
    pub fn share(self: &Arc<Budget>, bytes: usize) -> Share {
        let full = |out: &mut usize| *out > 0 && *out + bytes > self.most;
        let waited = self.freed.wait_while(self.out(), full);
        *waited.unwrap_or_else(PoisonError::into_inner) += bytes;
        Share {
            of: Arc::clone(self),
            bytes,
        }
    }

    fn out(&self) -> MutexGuard<'_, usize> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        *self.of.out() -= self.bytes;
        self.of.freed.notify_all();
    }
}
