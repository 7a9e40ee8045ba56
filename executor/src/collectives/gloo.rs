//! Collectives by Gloo over TCP: reductions by Gloo's own algorithms, gathering and scattering by direct exchange.
//!
//! Direct exchange moves each byte once, and the receiver adds the pieces in the order of the members, so that a sum does not
//! depend on who arrives first. Each group has a name of its own in the store; groups that shared one would read each other's
//! keys.

use std::time::Duration;

use pleach_plan::{GroupId, Plan, Reduce};
use tch::{Kind, Tensor};

use super::alive::Processes;
use super::solo::Solo;
use super::{Collectives, Communicator, Transfer};
use crate::error::Cause;
use crate::native::{self, Group, Store, Work};

/// Tags of transfers within collectives are below this; pipeline transfers use a group of their own.
const TAGS: u32 = 1 << 30;

/// One Gloo group with the numbers its members have in the run.
pub struct GlooGroup {
    group: Group,
    name: String,
    members: Vec<u32>,
    own: u32,
    calls: u32,
    processes: Processes,
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
        let listed = members.iter().map(u32::to_string).collect::<Vec<_>>().join("-");
        let position = members.iter().position(|&member| member == rank).unwrap_or(0);
        let (own, size) = (position as u32, members.len() as u32);
        let opened = store
            .prefixed(&format!("group/{name}/{listed}/"))
            .and_then(|store| Group::open(&store, address, own, size, deadline));
        let group = opened.map_err(|error| lost(name, others(&members, own), error))?;
        Ok(Self { group, name: name.to_owned(), members, own, calls: 0, processes: Processes::default() })
    }

    fn others(&self) -> impl Iterator<Item = u32> + use<> {
        let own = self.own;
        (0..self.members.len() as u32).filter(move |&member| member != own)
    }

    fn lost(&self, error: tch::TchError) -> Cause {
        self.lost_with(self.processes.gone(&others(&self.members, self.own)), error)
    }

    fn lost_with(&self, peers: Vec<u32>, error: tch::TchError) -> Cause {
        let text = text(error) + &self.processes.remark();
        Cause::Group { group: self.name.clone(), peers, text }
    }

    fn next_tag(&mut self) -> u32 {
        self.calls = (self.calls + 1) % TAGS;
        self.calls
    }

    /// Sends `outgoing[member]` to each other member, receives into `incoming[member]`, and waits for all of it.
    fn exchange(
        &mut self,
        outgoing: impl Fn(u32) -> native::Result<Tensor>,
        incoming: impl Fn(u32) -> native::Result<Tensor>,
    ) -> Result<(), Cause> {
        let tag = self.next_tag();
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
            work.wait().map_err(|error| self.lost_with(vec![self.members[member as usize]], error))?;
        }
        Ok(())
    }
}

impl Communicator for GlooGroup {
    fn size(&self) -> u32 {
        self.members.len() as u32
    }

    fn all_reduce(&mut self, x: &Tensor, reduce: Reduce) -> Result<(), Cause> {
        self.group.all_reduce(x, reduce == Reduce::Max).map_err(|error| self.lost(error))
    }

    fn all_gather(&mut self, own: &Tensor, joined: &Tensor) -> Result<(), Cause> {
        let slot = |member: u32| joined.f_select(0, i64::from(member));
        slot(self.own)?.f_copy_(own)?;
        self.exchange(|_| Ok(own.shallow_clone()), slot)
    }

    fn reduce_scatter(&mut self, pieces: &Tensor, own: &Tensor) -> Result<(), Cause> {
        let others = self.members.len() as i64 - 1;
        let mut dims = own.size();
        dims.insert(0, others);
        let received = Tensor::f_empty(&dims, (own.kind(), own.device()))?;
        let index = self.own;
        let slot = |member: u32| received.f_select(0, i64::from(member) - i64::from(member > index));
        let piece = |member: u32| pieces.f_select(0, i64::from(member));
        self.exchange(piece, slot)?;
        let part = |member: u32| if member == index { piece(member) } else { slot(member) };
        sum_in_order((0..self.size()).map(part), own)
    }
}

/// Adds tensors from first to last into `sum`, in f32 where they are narrower.
fn sum_in_order(parts: impl Iterator<Item = native::Result<Tensor>>, sum: &Tensor) -> Result<(), Cause> {
    let narrow = sum.kind() == Kind::BFloat16;
    let mut total = if narrow {
        Tensor::f_empty(sum.size(), (Kind::Float, sum.device()))?
    } else {
        sum.shallow_clone()
    };
    for (index, part) in parts.enumerate() {
        if index == 0 {
            total.f_copy_(&part?)?;
        } else {
            let _ = total.f_add_(&part?)?;
        }
    }
    if narrow {
        sum.shallow_clone().f_copy_(&total)?;
    }
    Ok(())
}

/// A pipeline transfer.
struct PipelineTransfer {
    work: Work,
    peer: u32,
    processes: Processes,
}

impl Transfer for PipelineTransfer {
    fn wait(&mut self) -> Result<(), Cause> {
        self.work.wait().map_err(|error| lost_peer(self.peer, &self.processes, error))
    }
}

/// All groups of one rank.
pub struct Gloo {
    groups: Vec<(GroupId, Member)>,
    world: GlooGroup,
}

enum Member {
    Gloo(GlooGroup),
    Solo(Solo),
}

impl Gloo {
    /// Joins all groups of a plan that `rank` belongs to, and one of all ranks for transfers and agreement.
    ///
    /// # Errors
    /// A member of some group did not come before the deadline.
    pub fn join(plan: &Plan, rank: u32, store: &Store, address: &str, deadline: Duration) -> Result<Self, Cause> {
        let everybody: Vec<u32> = (0..plan.mesh.ranks()).collect();
        let known = Processes::meet(store, rank, plan.mesh.ranks(), deadline);
        let processes = known.map_err(|error| lost("control", everybody.clone(), error))?;
        let join = |name: &str, members| {
            let group = GlooGroup::join(store, address, name, members, rank, deadline)?;
            Ok::<_, Cause>(GlooGroup { processes: processes.clone(), ..group })
        };
        let world = join("control", everybody)?;
        let mut groups = Vec::new();
        for group in &plan.groups {
            let members = plan.mesh.members(group, rank);
            let member = if members.len() == 1 {
                Member::Solo(Solo)
            } else {
                let name = format!("{}-{}", group.id.0, group.name);
                Member::Gloo(join(&name, members)?)
            };
            groups.push((group.id, member));
        }
        Ok(Self { groups, world })
    }
}

impl Gloo {
    fn transfer(&self, peer: u32, begun: native::Result<Work>) -> Result<Box<dyn Transfer>, Cause> {
        let processes = self.world.processes.clone();
        let work = begun.map_err(|error| lost_peer(peer, &processes, error))?;
        Ok(Box::new(PipelineTransfer { work, peer, processes }))
    }
}

impl Collectives for Gloo {
    fn group(&mut self, id: GroupId) -> Result<&mut dyn Communicator, Cause> {
        match self.groups.iter_mut().find(|(known, _)| *known == id) {
            Some((_, Member::Gloo(group))) => Ok(group),
            Some((_, Member::Solo(solo))) => Ok(solo),
            None => Err(Cause::State(format!("the plan has no group {}", id.0))),
        }
    }

    fn send(&mut self, x: &Tensor, peer: u32, tag: u32) -> Result<Box<dyn Transfer>, Cause> {
        self.transfer(peer, self.world.group.send(x, peer, tag))
    }

    fn receive(&mut self, x: &Tensor, peer: u32, tag: u32) -> Result<Box<dyn Transfer>, Cause> {
        self.transfer(peer, self.world.group.receive(x, peer, tag))
    }

    fn agree(&mut self, values: &mut [i64]) -> Result<(), Cause> {
        let shared = Tensor::f_from_slice(values)?;
        self.world.all_reduce(&shared, Reduce::Max)?;
        shared.f_copy_data(values, values.len())?;
        Ok(())
    }
}

/// The ranks of a group's other members.
fn others(members: &[u32], own: u32) -> Vec<u32> {
    let others = members.iter().enumerate().filter(|(index, _)| *index as u32 != own);
    others.map(|(_, &rank)| rank).collect()
}

fn lost(group: &str, peers: Vec<u32>, error: tch::TchError) -> Cause {
    Cause::Group { group: group.to_owned(), peers, text: text(error) }
}

fn lost_peer(peer: u32, processes: &Processes, error: tch::TchError) -> Cause {
    Cause::Peer { peer, text: text(error) + &processes.remark() }
}

fn text(error: tch::TchError) -> String {
    match Cause::from(error) {
        Cause::Kernel(text) => text,
        other => other.to_string(),
    }
}
