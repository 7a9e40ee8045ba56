//! Communication behind one trait: what instructions ask of the groups they name and of the neighbouring stages.
//!
//! Gloo serves on CPUs ([`gloo`], by [`direct`] exchange, some of it [`beside`] the computation), NCCL on GPUs (`nccl`); a group of one, and so a whole run of one rank, needs nobody ([`solo`]). Every call has a
//! deadline, and every failure names the ranks it was talking to.

pub mod alive;
pub mod beside;
pub mod direct;
pub mod gloo;
#[cfg(feature = "cuda")]
pub mod nccl;
pub mod solo;

use pleach_plan::{GroupId, Reduce};
use tch::Tensor;

use crate::error::Cause;

/// One group that this rank belongs to. All members call the same operations in the same order.
pub trait Communicator {
    /// Number of members.
    fn size(&self) -> u32;

    /// Combines the contiguous `x` over the members, in place. All get the same bits.
    ///
    /// # Errors
    /// A member is gone or late.
    fn all_reduce(&mut self, x: &Tensor, reduce: Reduce) -> Result<(), Cause>;

    /// Collects each member's `own` into `joined[member]`; both are contiguous.
    ///
    /// # Errors
    /// A member is gone or late.
    fn all_gather(&mut self, own: &Tensor, joined: &Tensor) -> Result<(), Cause>;

    /// Sums `pieces[this member]` over the members into `own`, always in the order of the members; all are contiguous.
    ///
    /// # Errors
    /// A member is gone or late.
    fn reduce_scatter(&mut self, pieces: &Tensor, own: &Tensor) -> Result<(), Cause>;

    /// Begins [`Communicator::all_reduce`] beside what is computed; none where calls wait.
    fn begin_all_reduce(&mut self, x: &Tensor, reduce: Reduce) -> Option<Box<dyn Transfer>> {
        let _ = (x, reduce);
        None
    }

    /// Begins [`Communicator::reduce_scatter`] beside what is computed, into the piece of `pieces` that is this member's, without room of its own;
    /// answers that piece with it. None where calls wait.
    ///
    /// # Errors
    /// libtorch's text.
    fn begin_reduce_scatter(&mut self, pieces: &Tensor) -> Result<Option<Begun>, Cause> {
        let _ = pieces;
        Ok(None)
    }
}

/// What was begun, and where its result will be.
pub struct Begun {
    /// Ends when the result is there.
    pub transfer: Box<dyn Transfer>,
    /// The result, part of an operand.
    pub result: Tensor,
}

/// A transfer under way.
pub trait Transfer {
    /// Blocks until it has ended.
    ///
    /// # Errors
    /// The peer is gone or late.
    fn wait(&mut self) -> Result<(), Cause>;
}

/// All that a rank can say to others.
pub trait Collectives {
    /// A group of the plan.
    ///
    /// # Errors
    /// The plan does not have it.
    fn group(&mut self, id: GroupId) -> Result<&mut dyn Communicator, Cause>;

    /// Begins to send the contiguous `x` to a rank; its values must stay until the transfer has ended.
    ///
    /// # Errors
    /// The connection is broken.
    fn send(&mut self, x: &Tensor, peer: u32, tag: u32) -> Result<Box<dyn Transfer>, Cause>;

    /// Begins to receive into the contiguous `x` what a rank sends under `tag`.
    ///
    /// # Errors
    /// The connection is broken.
    fn receive(&mut self, x: &Tensor, peer: u32, tag: u32) -> Result<Box<dyn Transfer>, Cause>;

    /// The largest of each of the values that all ranks bring: how they agree on something. Also a barrier.
    ///
    /// # Errors
    /// A rank is gone or late.
    fn agree(&mut self, values: &mut [i64]) -> Result<(), Cause>;

    /// Waits until the device has done what this step queued; where calls wait themselves there is nothing left.
    ///
    /// # Errors
    /// A member is gone or late.
    fn finish(&mut self) -> Result<(), Cause> {
        Ok(())
    }
}
