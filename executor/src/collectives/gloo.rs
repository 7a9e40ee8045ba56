//! All that one rank says to others over Gloo: its groups, pipeline transfers, and agreement of all.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pleach_plan::early::early;
use pleach_plan::{GroupId, Plan, Reduce};
use tch::Tensor;

use super::alive::Processes;
use super::beside::{self, Beside};
use super::direct::{GlooGroup, lost, why};
use super::solo::Solo;
use super::{Collectives, Communicator, Transfer};
use crate::deadlines::Patience;
use crate::error::Cause;
use crate::native::{self, Store, Work};

/// A pipeline transfer.
struct PipelineTransfer {
    work: Work,
    peer: u32,
    processes: Processes,
    patience: Patience,
}

impl Transfer for PipelineTransfer {
    fn wait(&mut self) -> Result<(), Cause> {
        self.work
            .wait_within(self.patience.get().limit)
            .map_err(|error| lost_peer(self.peer, why(error, &self.patience, &self.processes)))
    }
}

/// All groups of one rank.
pub struct Gloo {
    groups: Vec<(GroupId, Member)>,
    world: GlooGroup,
}

enum Member {
    Gloo(GlooGroup),
    Beside(beside::Member),
    Solo(Solo),
}

impl Gloo {
    /// Joins all groups of a plan that `rank` belongs to, and one of all ranks for transfers and agreement.
    ///
    /// # Errors
    /// A member of some group did not come before the deadline.
    pub fn join(
        plan: &Plan,
        rank: u32,
        store: &Store,
        address: &str,
        deadline: Duration,
    ) -> Result<Self, Cause> {
        let everybody: Vec<u32> = (0..plan.mesh.ranks()).collect();
        let known = Processes::meet(store, rank, plan.mesh.ranks(), deadline);
        let processes = known.map_err(|error| lost("control", everybody.clone(), error))?;
        let join = |name: &str, members| {
            let mut group = GlooGroup::join(store, address, name, members, rank, deadline)?;
            group.processes = processes.clone();
            Ok::<_, Cause>(group)
        };
        let world = join("control", everybody)?;
        let mut groups = Vec::new();
        for group in &plan.groups {
            let members = plan.mesh.members(group, rank);
            if members.is_empty() {
                continue;
            }
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
    /// The same with waits that are as long as somebody else says.
    #[must_use]
    pub fn with_patience(mut self, patience: &Patience) -> Self {
        self.world.patience = patience.clone();
        for (_, member) in &mut self.groups {
            if let Member::Gloo(group) = member {
                group.patience = patience.clone();
            }
        }
        self
    }

    /// The same with a thread of their own for the groups of reductions that may begin early.
    ///
    /// # Errors
    /// The system starts no thread.
    pub fn with_thread(mut self, plan: &Plan, rank: u32) -> Result<Self, Cause> {
        let role = &plan.roles[plan.mesh.place(rank).pp as usize];
        let early = early(plan, role);
        let wanted: BTreeSet<_> = early
            .iter()
            .filter_map(|own| own.instr.op.group())
            .collect();
        let (mut moved, mut places) = (BTreeMap::new(), Vec::new());
        for (id, member) in std::mem::take(&mut self.groups) {
            match member {
                Member::Gloo(group) if wanted.contains(&id) => {
                    places.push((id, [group.own(), group.size()]));
                    moved.insert(id, group);
                }
                member => self.groups.push((id, member)),
            }
        }
        if moved.is_empty() {
            return Ok(self);
        }
        let thread = Beside::start(moved)?;
        let members = places.into_iter().map(|(id, place)| {
            let member = beside::Member::new(id, place, &thread);
            (id, Member::Beside(member))
        });
        self.groups.extend(members);
        Ok(self)
    }

    fn transfer(&self, peer: u32, begun: native::Result<Work>) -> Result<Box<dyn Transfer>, Cause> {
        let (processes, patience) = (self.world.processes.clone(), self.world.patience.clone());
        let work = begun.map_err(|error| lost_peer(peer, why(error, &patience, &processes)))?;
        Ok(Box::new(PipelineTransfer {
            work,
            peer,
            processes,
            patience,
        }))
    }
}

impl Collectives for Gloo {
    fn group(&mut self, id: GroupId) -> Result<&mut dyn Communicator, Cause> {
        match self.groups.iter_mut().find(|(known, _)| *known == id) {
            Some((_, Member::Gloo(group))) => Ok(group),
            Some((_, Member::Beside(member))) => Ok(member),
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

fn lost_peer(peer: u32, text: String) -> Cause {
    Cause::Peer { peer, text }
}
