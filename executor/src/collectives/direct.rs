//! Collectives over Gloo's TCP transport, by direct exchange: every member sends to and receives from every other.
//!
//! Gloo's own algorithms hop between threads several times a call, which is what costs on a CPU whose cores are all at work.
//! Direct exchange hops once, and each receiver combines the pieces in the order of the members, so that results do not depend
//! on who arrives first. Each group has a name of its own in the store; groups that shared one would read each other's keys.

use std::time::Duration;

use pleach_plan::Reduce;
use pleach_plan::lanes::pairwise;
use tch::{Device, Kind, Tensor};

use super::Communicator;
use super::alive::Processes;
use crate::deadlines::Patience;
use crate::error::Cause;
use crate::native::{self, Group, Store, Work};

/// Tags of transfers within collectives; those of pipeline transfers are below.
const TAGS: std::ops::Range<u32> = 1 << 30..(1 << 31) - 1;

/// Bytes of a group's own room for what is received while it is combined.
const ROOM: usize = 8 << 20;

/// Up to this size it is cheaper to send everything to everybody than to go twice.
const SMALL: usize = 64 << 10;

/// A group's own memory. It is not libtorch's, so that what libtorch holds is what the program names; pages come when they
/// are first written.
struct Room {
    tensor: Tensor,
    _bytes: Vec<u64>,
}

impl Room {
    fn new() -> native::Result<Self> {
        let mut bytes = vec![0u64; ROOM / 8];
        let place = bytes.as_mut_ptr().cast::<u8>();
        // SAFETY: the bytes stay where they are as long as the tensor, which is dropped before them and never leaves the group.
        let tensor =
            unsafe { Tensor::f_from_blob(place, &[ROOM as i64], &[1], Kind::Uint8, Device::Cpu) }?;
        Ok(Self {
            tensor,
            _bytes: bytes,
        })
    }
}

/// One Gloo group with the numbers its members have in the run.
pub struct GlooGroup {
    pub(super) group: Group,
    name: String,
    members: Vec<u32>,
    own: u32,
    next_tag: u32,
    pub(super) processes: Processes,
    pub(super) patience: Patience,
    room: Room,
}

impl GlooGroup {
    /// Joins the group `name` of `members`, to which `rank` belongs.
    ///
    /// # Errors
    /// A member did not come before the deadline.
    pub fn join(
        store: &Store,
        address: &str,
        name: &str,
        members: Vec<u32>,
        rank: u32,
        deadline: Duration,
    ) -> Result<Self, Cause> {
        let listed = members
            .iter()
            .map(u32::to_string)
            .collect::<Vec<_>>()
            .join("-");
        let position = members
            .iter()
            .position(|&member| member == rank)
            .unwrap_or(0);
        let (own, size) = (position as u32, members.len() as u32);
        let opened = store
            .prefixed(&format!("group/{name}/{listed}/"))
            .and_then(|store| Group::open(&store, address, own, size, deadline));
        let group = opened.map_err(|error| lost(name, others(&members, own), error))?;
        let room = Room::new()?;
        Ok(Self {
            group,
            name: name.to_owned(),
            members,
            own,
            next_tag: TAGS.start,
            processes: Processes::default(),
            patience: Patience::new(deadline),
            room,
        })
    }

    fn others(&self) -> impl Iterator<Item = u32> + use<> {
        let own = self.own;
        (0..self.members.len() as u32).filter(move |&member| member != own)
    }

    /// Sends `x` around: the first of two members sends and receives it back, the second answers.
    ///
    /// # Errors
    /// The other is gone or late.
    pub fn there_and_back(&mut self, x: &Tensor) -> Result<(), Cause> {
        let (peer, first) = (1 - self.own.min(1), self.own == 0);
        for sends in [first, !first] {
            let work = if sends {
                self.group.send(x, peer, 0)
            } else {
                self.group.receive(x, peer, 0)
            };
            work.and_then(|work| work.wait_within(self.patience.get().limit))
                .map_err(|error| self.lost(error))?;
        }
        Ok(())
    }

    fn lost(&self, error: tch::TchError) -> Cause {
        self.lost_with(self.processes.gone(&others(&self.members, self.own)), error)
    }

    fn lost_with(&self, peers: Vec<u32>, error: tch::TchError) -> Cause {
        let text = why(error, &self.patience, &self.processes);
        Cause::Group {
            group: self.name.clone(),
            peers,
            text,
        }
    }

    /// Room for `count` pieces like `piece`, out of the group's own.
    fn slots(&self, piece: &Tensor, count: u32) -> native::Result<Vec<Tensor>> {
        let bytes = piece.numel() as i64 * piece.kind().elt_size_in_bytes() as i64;
        let slot = |at: u32| {
            self.room
                .tensor
                .f_narrow(0, i64::from(at) * bytes, bytes)?
                .f_view_dtype(piece.kind())
        };
        (0..count).map(slot).collect()
    }

    /// Combines `flat` over the members by sending all of it to everybody.
    fn reduce_at_once(&mut self, flat: &Tensor, reduce: Reduce) -> Result<(), Cause> {
        self.sum_here(|_| Ok(flat.shallow_clone()), flat, reduce)
    }

    /// Combines `flat` over the members piece by piece, each on one member, then shares the pieces.
    fn reduce_in_pieces(&mut self, flat: &Tensor, reduce: Reduce) -> Result<(), Cause> {
        let (size, own) = (self.size(), self.own);
        let bounds: Vec<i64> = (0..=size)
            .map(|at| flat.numel() as i64 * i64::from(at) / i64::from(size))
            .collect();
        let piece = |at: u32| {
            let at = at as usize;
            flat.f_narrow(0, bounds[at], bounds[at + 1] - bounds[at])
        };
        let mine = piece(own)?;
        self.sum_here(piece, &mine, reduce)?;
        self.exchange(|_| Ok(mine.shallow_clone()), piece)
    }

    /// Combines what the members have of `mine` where it is, through the group's room; each other member is sent its own `outgoing[member]`.
    fn sum_here(
        &mut self,
        outgoing: impl Fn(u32) -> native::Result<Tensor>,
        mine: &Tensor,
        reduce: Reduce,
    ) -> Result<(), Cause> {
        let (size, own) = (self.size(), self.own);
        let slots = self.slots(mine, size - 1)?;
        self.exchange(outgoing, |member| {
            Ok(slots[slot_of(member, own)].shallow_clone())
        })?;
        let part = |member| match member == own {
            true => mine,
            false => &slots[slot_of(member, own)],
        };
        let parts: Vec<&Tensor> = (0..size).map(part).collect();
        combine(&parts, reduce, mine)
    }

    /// Sends `outgoing[member]` to each other member, receives into `incoming[member]`, and waits for all of it.
    fn exchange(
        &mut self,
        outgoing: impl Fn(u32) -> native::Result<Tensor>,
        incoming: impl Fn(u32) -> native::Result<Tensor>,
    ) -> Result<(), Cause> {
        let tag = self.next_tag;
        self.next_tag = if tag + 1 < TAGS.end {
            tag + 1
        } else {
            TAGS.start
        };
        let start = || -> native::Result<Vec<(u32, Work)>> {
            let mut works = Vec::new();
            for member in self.others() {
                works.push((member, self.group.receive(&incoming(member)?, member, tag)?));
            }
            for member in self.others() {
                works.push((member, self.group.send(&outgoing(member)?, member, tag)?));
            }
            Ok(works)
        };
        for (member, work) in start().map_err(|error| self.lost(error))? {
            work.wait_within(self.patience.get().limit)
                .map_err(|error| self.lost_with(vec![self.members[member as usize]], error))?;
        }
        Ok(())
    }
}

impl Communicator for GlooGroup {
    fn size(&self) -> u32 {
        self.members.len() as u32
    }

    fn all_reduce(&mut self, x: &Tensor, reduce: Reduce) -> Result<(), Cause> {
        let flat = x.f_view(-1)?;
        let (size, bytes) = (i64::from(self.size()), x.kind().elt_size_in_bytes() as i64);
        let at_once = size == 2 || x.numel() * x.kind().elt_size_in_bytes() <= SMALL;
        // What others send of a segment must fit the room: all of it, or one piece in as many as there are members.
        let room = ROOM as i64 / bytes / (size - 1) - 1;
        let segment = if at_once { room } else { room * size };
        let elements = flat.numel() as i64;
        for start in (0..elements).step_by(segment as usize) {
            let part = flat.f_narrow(0, start, segment.min(elements - start))?;
            if at_once {
                self.reduce_at_once(&part, reduce)?
            } else {
                self.reduce_in_pieces(&part, reduce)?
            }
        }
        Ok(())
    }

    fn all_gather(&mut self, own: &Tensor, joined: &Tensor) -> Result<(), Cause> {
        let slot = |member: u32| joined.f_select(0, i64::from(member));
        slot(self.own)?.f_copy_(own)?;
        self.exchange(|_| Ok(own.shallow_clone()), slot)
    }

    fn reduce_scatter(&mut self, pieces: &Tensor, own: &Tensor) -> Result<(), Cause> {
        let index = self.own;
        let mut dims = own.size();
        dims.insert(0, i64::from(self.size()) - 1);
        let received = Tensor::f_empty(&dims, (own.kind(), own.device()))?;
        let slot = |member: u32| received.f_select(0, slot_of(member, index) as i64);
        let piece = |member: u32| pieces.f_select(0, i64::from(member));
        self.exchange(piece, slot)?;
        let part = |member: u32| {
            if member == index {
                piece(member)
            } else {
                slot(member)
            }
        };
        let parts: Vec<Tensor> = (0..self.size()).map(part).collect::<native::Result<_>>()?;
        own.shallow_clone().f_copy_(&parts[index as usize])?;
        let parts: Vec<&Tensor> = (0..)
            .zip(&parts)
            .map(|(at, part)| if at == index { own } else { part })
            .collect();
        combine(&parts, Reduce::Sum, own)
    }
}

impl GlooGroup {
    /// Sums `pieces[own]` over the members where it is, segment by segment through the group's own room: the same bits as
    /// [`Communicator::reduce_scatter`].
    ///
    /// # Errors
    /// A member is gone or late.
    pub fn scatter_in_place(&mut self, pieces: &Tensor) -> Result<(), Cause> {
        let (size, own) = (self.size(), self.own);
        let bytes = pieces.kind().elt_size_in_bytes() as i64;
        let room = (ROOM as i64 / bytes / i64::from(size - 1).max(1) - 1).max(1);
        let flat = pieces.f_view([i64::from(size), -1])?;
        let elements = flat.size()[1];
        for start in (0..elements).step_by(room as usize) {
            let length = room.min(elements - start);
            let piece = |member: u32| {
                flat.f_select(0, i64::from(member))?
                    .f_narrow(0, start, length)
            };
            self.sum_here(piece, &piece(own)?, Reduce::Sum)?;
        }
        Ok(())
    }

    /// This rank's place among the members.
    pub fn own(&self) -> u32 {
        self.own
    }
}

/// The place of a member among the others.
fn slot_of(member: u32, own: u32) -> usize {
    member as usize - usize::from(member > own)
}

/// Combines parts into `result`, which is one of them; the others are used up. Neighbours are added first, as a tree. Sums of more
/// than two 16-bit parts are made in f32 from first to last and rounded once.
fn combine(parts: &[&Tensor], reduce: Reduce, result: &Tensor) -> Result<(), Cause> {
    let widen = parts.len() > 2 && reduce == Reduce::Sum && result.kind() == Kind::BFloat16;
    let total = if widen {
        let mut total = parts[0].f_to_kind(Kind::Float)?;
        for part in &parts[1..] {
            let _ = total.f_add_(part)?;
        }
        total
    } else {
        in_pairs(parts, reduce)?
    };
    if total.data_ptr() != result.data_ptr() {
        result.shallow_clone().f_copy_(&total)?;
    }
    Ok(())
}

/// The sum or the largest of parts, in the storage of the first.
fn in_pairs(parts: &[&Tensor], reduce: Reduce) -> native::Result<Tensor> {
    let mut done = Ok(());
    let parts = parts.iter().map(|part| part.shallow_clone()).collect();
    let total = pairwise(parts, |mut one: Tensor, other| {
        let added = match reduce {
            Reduce::Sum => one.f_add_(&other),
            Reduce::Max => one.f_maximum_out(&one, &other),
        };
        if let Err(error) = added {
            done = Err(error);
        }
        one
    });
    done.map(|()| total.unwrap_or_default())
}

/// The ranks of a group's other members.
pub(super) fn others(members: &[u32], own: u32) -> Vec<u32> {
    let others = members
        .iter()
        .enumerate()
        .filter(|(index, _)| *index as u32 != own);
    others.map(|(_, &rank)| rank).collect()
}

pub(super) fn lost(group: &str, peers: Vec<u32>, error: tch::TchError) -> Cause {
    Cause::Group {
        group: group.to_owned(),
        peers,
        text: text(error),
    }
}

/// What the transport says; where it was that time is up, what was allowed; and what is known of the ranks of this machine.
pub(super) fn why(error: tch::TchError, patience: &Patience, processes: &Processes) -> String {
    let said = text(error);
    let allowed = if said.contains("Timed out") || said.contains("timed out") {
        format!(": {}", patience.get())
    } else {
        String::new()
    };
    said + &allowed + &processes.remark()
}

/// What the transport says.
pub(super) fn text(error: tch::TchError) -> String {
    match Cause::from(error) {
        Cause::Kernel(text) => text,
        other => other.to_string(),
    }
}
