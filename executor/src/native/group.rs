//! A Gloo process group: transfers between its members that go on while the caller computes.
//!
//! Ranks here are members' indices in the group. A group is used by one thread.

use std::ffi::{c_char, c_int, c_void};
use std::time::Duration;

use tch::Tensor;
use torch_sys::C_tensor;

use super::store::{RawStore, milliseconds};
use super::{Result, Store, check, raw, text};

#[repr(C)]
struct RawGroup(c_void);
#[repr(C)]
struct RawWork(c_void);

unsafe extern "C" {
    fn pleach_group_layout() -> c_int;
    fn pleach_group_open(
        store: *mut RawStore,
        address: *const c_char,
        rank: c_int,
        size: c_int,
        deadline_ms: i64,
        out: *mut *mut RawGroup,
    ) -> c_int;
    fn pleach_group_close(group: *mut RawGroup);
    fn pleach_group_send(
        group: *mut RawGroup,
        tensor: *mut C_tensor,
        peer: c_int,
        tag: c_int,
        out: *mut *mut RawWork,
    ) -> c_int;
    fn pleach_group_receive(
        group: *mut RawGroup,
        tensor: *mut C_tensor,
        peer: c_int,
        tag: c_int,
        out: *mut *mut RawWork,
    ) -> c_int;
    fn pleach_work_wait(work: *mut RawWork, deadline_ms: i64) -> c_int;
    fn pleach_work_close(work: *mut RawWork);
}

/// Checks that c10d's classes have the layout that the shim was written for. Call once, before any group.
///
/// # Errors
/// The figures that differ.
pub fn check_layout() -> Result<()> {
    // SAFETY: takes nothing and touches only what it makes itself.
    check(unsafe { pleach_group_layout() })
}

/// One group of communicating ranks.
pub struct Group {
    handle: *mut RawGroup,
    deadline: Duration,
}

// SAFETY: the handle may move between threads; only `Sync` would let two use it at once.
unsafe impl Send for Group {}

impl Group {
    /// Joins the group of `size` members that `store` (with a prefix that no other group has) brings together.
    ///
    /// # Errors
    /// A member did not come before the deadline.
    pub fn open(
        store: &Store,
        address: &str,
        rank: u32,
        size: u32,
        deadline: Duration,
    ) -> Result<Group> {
        let (address, mut handle) = (text(address), std::ptr::null_mut());
        // SAFETY: the text outlives the call, and `handle` is written only on success.
        check(unsafe {
            pleach_group_open(
                store.raw(),
                address.as_ptr(),
                integer(rank),
                integer(size),
                milliseconds(deadline),
                &raw mut handle,
            )
        })?;
        Ok(Group { handle, deadline })
    }

    /// Begins to send `tensor` to a member. Its values must stay until the work has been waited for.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn send(&self, tensor: &Tensor, peer: u32, tag: u32) -> Result<Work> {
        let mut work = std::ptr::null_mut();
        // SAFETY: the work holds the tensor's storage alive.
        check(unsafe {
            pleach_group_send(
                self.handle,
                raw(tensor),
                integer(peer),
                integer(tag),
                &raw mut work,
            )
        })?;
        Ok(Work {
            handle: work,
            deadline: self.deadline,
        })
    }

    /// Begins to receive into `tensor` what a member sends under `tag`.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn receive(&self, tensor: &Tensor, peer: u32, tag: u32) -> Result<Work> {
        let mut work = std::ptr::null_mut();
        // SAFETY: the work holds the tensor's storage alive.
        check(unsafe {
            pleach_group_receive(
                self.handle,
                raw(tensor),
                integer(peer),
                integer(tag),
                &raw mut work,
            )
        })?;
        Ok(Work {
            handle: work,
            deadline: self.deadline,
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // SAFETY: the handle came from the shim and is closed once.
        unsafe { pleach_group_close(self.handle) }
    }
}

/// A transfer under way.
pub struct Work {
    handle: *mut RawWork,
    deadline: Duration,
}

// SAFETY: as for `Group`.
unsafe impl Send for Work {}

impl Work {
    /// Waits until the transfer has ended.
    ///
    /// # Errors
    /// The peer is gone or the deadline has passed.
    pub fn wait(&self) -> Result<()> {
        self.wait_within(self.deadline)
    }

    /// The same with a deadline of its own.
    ///
    /// # Errors
    /// As [`Work::wait`].
    pub fn wait_within(&self, deadline: Duration) -> Result<()> {
        // SAFETY: the handle is alive until this value is dropped.
        check(unsafe { pleach_work_wait(self.handle, milliseconds(deadline)) })
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // SAFETY: the handle came from the shim and is closed once.
        unsafe { pleach_work_close(self.handle) }
    }
}

fn integer(value: u32) -> c_int {
    c_int::try_from(value).unwrap_or(c_int::MAX)
}
