//! Groups with one member, and a run of one rank: there is nobody to talk to.

use pleach_plan::{GroupId, Reduce};
use tch::Tensor;

use super::{Collectives, Communicator, Transfer};
use crate::error::Cause;

/// A group of one, and the collectives of a run of one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Solo;

impl Communicator for Solo {
    fn size(&self) -> u32 {
        1
    }

    fn all_reduce(&mut self, _x: &Tensor, _reduce: Reduce) -> Result<(), Cause> {
        Ok(())
    }

    fn all_gather(&mut self, own: &Tensor, joined: &Tensor) -> Result<(), Cause> {
        Ok(joined.f_select(0, 0)?.f_copy_(own)?)
    }

    fn reduce_scatter(&mut self, pieces: &Tensor, own: &Tensor) -> Result<(), Cause> {
        Ok(own.shallow_clone().f_copy_(&pieces.f_select(0, 0)?)?)
    }
}

impl Collectives for Solo {
    fn group(&mut self, _id: GroupId) -> Result<&mut dyn Communicator, Cause> {
        Ok(self)
    }

    fn send(&mut self, _x: &Tensor, peer: u32, _tag: u32) -> Result<Box<dyn Transfer>, Cause> {
        Err(nobody(peer))
    }

    fn receive(&mut self, _x: &Tensor, peer: u32, _tag: u32) -> Result<Box<dyn Transfer>, Cause> {
        Err(nobody(peer))
    }

    fn agree(&mut self, _values: &mut [i64]) -> Result<(), Cause> {
        Ok(())
    }
}

fn nobody(peer: u32) -> Cause {
    Cause::Peer {
        peer,
        text: "this run has one rank".to_owned(),
    }
}
