//! All that one rank says to others through NCCL: its groups on the stream that computes, pipeline transfers on streams of their own. What
//! ranks agree on between steps goes over Gloo, on the host.
//!
//! The host queues and goes on. [`Collectives::finish`] is where it waits, once a step: every collective leaves a mark behind, and the first mark that
//! is not reached by the deadline tells which group stands still.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use cudarc::nccl::sys::Lib;
use pleach_plan::{Group, GroupId, Plan, Reduce, Role, Slot, TransferKind, Wire};
use tch::{Device, Kind, TchError, Tensor};

use super::alive::Processes;
use super::direct::{GlooGroup, lost, others, text};
use super::solo::Solo;
use super::{Collectives, Communicator, Transfer};
use crate::deadlines::Patience;
use crate::error::Cause;
use crate::native::cuda::{Event, Stream};
use crate::native::nccl::{self, Comm, Id};
use crate::native::{self, Store};

/// Between two looks at a mark.
const PAUSE: Duration = Duration::from_micros(20);
/// Between two looks at the other processes.
const LOOK: Duration = Duration::from_millis(100);

/// Who talks to whom: the group's name, its other members.
type Parties = Rc<(String, Vec<u32>)>;

/// What was queued in a step, in its order.
type Marks = Rc<RefCell<Vec<(Parties, Event)>>>;

/// One group of the plan.
struct NcclGroup {
    comm: Comm,
    size: u32,
    stream: Rc<Stream>,
    parties: Parties,
    marks: Marks,
}

impl NcclGroup {
    fn queue(&self, call: impl FnOnce(&Comm, &Stream) -> native::Result<()>) -> Result<(), Cause> {
        let queued = call(&self.comm, &self.stream).and_then(|()| mark(&self.stream));
        let event = queued.map_err(|error| self.broken(error))?;
        let parties = Rc::clone(&self.parties);
        self.marks.borrow_mut().push((parties, event));
        Ok(())
    }

    fn broken(&self, error: TchError) -> Cause {
        let (name, peers) = &*self.parties;
        lost(name, peers.clone(), error)
    }
}

fn mark(stream: &Stream) -> native::Result<Event> {
    let event = Event::new()?;
    event.record(stream)?;
    Ok(event)
}

impl Communicator for NcclGroup {
    fn size(&self) -> u32 {
        self.size
    }

    fn all_reduce(&mut self, x: &Tensor, reduce: Reduce) -> Result<(), Cause> {
        self.queue(|comm, stream| comm.all_reduce(x, reduce, stream))
    }

    fn all_gather(&mut self, own: &Tensor, joined: &Tensor) -> Result<(), Cause> {
        self.queue(|comm, stream| comm.all_gather(own, joined, stream))
    }

    /// In an order that NCCL chooses, which is the same in every repetition.
    fn reduce_scatter(&mut self, pieces: &Tensor, own: &Tensor) -> Result<(), Cause> {
        self.queue(|comm, stream| comm.reduce_scatter(pieces, own, stream))
    }
}

enum Member {
    Nccl(NcclGroup),
    Solo(Solo),
}

/// One way of one wire between two ranks. Those of one way and wire are taken in the order in which they are queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Way {
    from: u32,
    to: u32,
    gradient: bool,
}

struct Channel {
    comm: Comm,
    stream: Stream,
}

/// A pipeline transfer: the stream that computes waits for it, not the host.
struct Queued {
    done: Event,
    stream: Rc<Stream>,
    peer: u32,
}

impl Transfer for Queued {
    fn wait(&mut self) -> Result<(), Cause> {
        let held = self.done.hold(&self.stream);
        held.map_err(|error| Cause::Peer {
            peer: self.peer,
            text: text(error),
        })
    }
}

/// All groups of one rank.
pub struct Nccl {
    rank: u32,
    groups: Vec<(GroupId, Member)>,
    channels: BTreeMap<Way, Channel>,
    control: GlooGroup,
    stream: Rc<Stream>,
    marks: Marks,
}

/// What joining takes.
struct Joining<'s> {
    store: &'s Store,
    library: &'static Lib,
    rank: u32,
    deadline: Duration,
}

impl Joining<'_> {
    /// The communicator of some ranks under a name that no others of theirs have. The first makes the name that NCCL knows it by.
    fn comm(&self, name: &str, members: &[u32]) -> Result<Comm, Cause> {
        let own = members.iter().position(|&member| member == self.rank);
        let own = own.unwrap_or(0) as u32;
        let listed: Vec<String> = members.iter().map(u32::to_string).collect();
        let key = format!("nccl/{name}/{}", listed.join("-"));
        let joined = self.id(&key, own == 0).and_then(|id| {
            Comm::join(
                self.library,
                &id,
                [own, members.len() as u32],
                self.deadline,
            )
        });
        joined.map_err(|error| lost(name, others(members, own), error))
    }

    fn id(&self, key: &str, makes: bool) -> native::Result<Id> {
        if makes {
            let id = nccl::new_id(self.library)?;
            self.store.set(key, &id)?;
            return Ok(id);
        }
        let read = self.store.get(key, self.deadline)?;
        Id::try_from(&read[..])
            .map_err(|_| TchError::Torch(format!("{key} holds {} bytes", read.len())))
    }
}

impl Nccl {
    /// Joins all groups of a plan that `rank` belongs to and the ways to its neighbours, on a device that is this thread's.
    ///
    /// # Errors
    /// No NCCL, or a member of some group did not come before the deadline.
    pub fn join(
        plan: &Plan,
        (rank, device): (u32, u32),
        store: &Store,
        address: &str,
        deadline: Duration,
    ) -> Result<Self, Cause> {
        let library = nccl::library().map_err(|text| Cause::State(format!("no NCCL: {text}")))?;
        orders_match(plan).map_err(Cause::State)?;
        let everybody: Vec<u32> = (0..plan.mesh.ranks()).collect();
        let known = Processes::meet(store, rank, plan.mesh.ranks(), deadline);
        let processes = known.map_err(|error| lost("control", everybody.clone(), error))?;
        let mut control = GlooGroup::join(store, address, "control", everybody, rank, deadline)?;
        control.processes = processes;
        let joining = Joining {
            store,
            library,
            rank,
            deadline,
        };
        let stream = Rc::new(Stream::current(device)?);
        let mut joined = Self {
            rank,
            groups: Vec::new(),
            channels: BTreeMap::new(),
            control,
            stream,
            marks: Marks::default(),
        };
        for group in &plan.groups {
            joined.add_group(plan, group, &joining)?;
        }
        for way in ways(plan, rank) {
            joined.add_channel(way, device, &joining)?;
        }
        Ok(joined)
    }

    /// The same with waits that are as long as somebody else says.
    #[must_use]
    pub fn with_patience(mut self, patience: &Patience) -> Self {
        self.control.patience = patience.clone();
        self
    }

    fn add_group(
        &mut self,
        plan: &Plan,
        group: &Group,
        joining: &Joining<'_>,
    ) -> Result<(), Cause> {
        let members = plan.mesh.members(group, self.rank);
        let member = match members.len() {
            0 => return Ok(()),
            1 => Member::Solo(Solo),
            size => {
                let name = format!("{}-{}", group.id.0, group.name);
                let own = members.iter().position(|&member| member == self.rank);
                let comm = joining.comm(&name, &members)?;
                let peers = others(&members, own.unwrap_or(0) as u32);
                Member::Nccl(NcclGroup {
                    comm,
                    size: size as u32,
                    stream: Rc::clone(&self.stream),
                    parties: Rc::new((name, peers)),
                    marks: Rc::clone(&self.marks),
                })
            }
        };
        self.groups.push((group.id, member));
        Ok(())
    }

    /// Opens a way and sends a number over it: the first message of two ranks connects them, for which both must be there. All ranks open
    /// theirs in the same order.
    fn add_channel(&mut self, way: Way, device: u32, joining: &Joining<'_>) -> Result<(), Cause> {
        let wire = if way.gradient { "gradient" } else { "hidden" };
        let name = format!("{wire}-{}-{}", way.from, way.to);
        let comm = joining.comm(&name, &[way.from, way.to])?;
        let channel = Channel {
            comm,
            stream: Stream::another(device)?,
        };
        let first = Tensor::f_zeros([1], (Kind::Float, Device::Cuda(device as usize)))?;
        mark(&self.stream)?.hold(&channel.stream)?;
        let sent = match way.from == self.rank {
            true => channel.comm.send(&first, 1, &channel.stream),
            false => channel.comm.receive(&first, 0, &channel.stream),
        };
        let peer = way.from + way.to - self.rank;
        sent.map_err(|error| self.lost_peer(peer, error))?;
        mark(&channel.stream)?.hold(&self.stream)?;
        self.channels.insert(way, channel);
        Ok(())
    }

    fn lost_peer(&self, peer: u32, error: TchError) -> Cause {
        let text = text(error) + &self.control.processes.remark();
        Cause::Peer { peer, text }
    }

    fn transfer(&mut self, x: &Tensor, way: Way, peer: u32) -> Result<Box<dyn Transfer>, Cause> {
        let channel = self.channels.get(&way);
        let channel = channel.ok_or_else(|| Cause::State(format!("the plan has no {way:?}")))?;
        let begun = || {
            mark(&self.stream)?.hold(&channel.stream)?;
            match way.from == self.rank {
                true => channel.comm.send(x, 1, &channel.stream)?,
                false => channel.comm.receive(x, 0, &channel.stream)?,
            }
            mark(&channel.stream)
        };
        let done = begun().map_err(|error| self.lost_peer(peer, error))?;
        let parties = Rc::new((format!("rank {peer}"), vec![peer]));
        self.marks
            .borrow_mut()
            .push((parties, mark(&channel.stream)?));
        Ok(Box::new(Queued {
            done,
            stream: Rc::clone(&self.stream),
            peer,
        }))
    }

    /// Waits for one mark.
    fn reach(&self, event: &Event, end: Instant) -> Result<(), String> {
        let mut looked = Instant::now();
        while !event.is_reached().map_err(text)? {
            std::thread::sleep(PAUSE);
            if looked.elapsed() > LOOK {
                looked = Instant::now();
                self.check().map_err(text)?;
                let gone = self.control.processes.remark();
                if gone.contains("ended") {
                    return Err(format!("a rank has ended{gone}"));
                }
            }
            if Instant::now() > end {
                return Err(format!("not done in time: {}", self.control.patience.get()));
            }
        }
        Ok(())
    }

    fn check(&self) -> native::Result<()> {
        let groups = self.groups.iter().filter_map(|(_, member)| match member {
            Member::Nccl(group) => Some(&group.comm),
            Member::Solo(_) => None,
        });
        let channels = self.channels.values().map(|channel| &channel.comm);
        groups.chain(channels).try_for_each(Comm::check)
    }

    fn abort(&mut self) {
        for (_, member) in &mut self.groups {
            if let Member::Nccl(group) = member {
                group.comm.abort();
            }
        }
        self.channels
            .values_mut()
            .for_each(|channel| channel.comm.abort());
    }
}

impl Collectives for Nccl {
    fn group(&mut self, id: GroupId) -> Result<&mut dyn Communicator, Cause> {
        match self.groups.iter_mut().find(|(known, _)| *known == id) {
            Some((_, Member::Nccl(group))) => Ok(group),
            Some((_, Member::Solo(solo))) => Ok(solo),
            None => Err(Cause::State(format!("the plan has no group {}", id.0))),
        }
    }

    fn send(&mut self, x: &Tensor, peer: u32, tag: u32) -> Result<Box<dyn Transfer>, Cause> {
        let way = Way {
            from: self.rank,
            to: peer,
            gradient: tag % 2 == 1,
        };
        self.transfer(x, way, peer)
    }

    fn receive(&mut self, x: &Tensor, peer: u32, tag: u32) -> Result<Box<dyn Transfer>, Cause> {
        let way = Way {
            from: peer,
            to: self.rank,
            gradient: tag % 2 == 1,
        };
        self.transfer(x, way, peer)
    }

    fn agree(&mut self, values: &mut [i64]) -> Result<(), Cause> {
        let shared = Tensor::f_from_slice(values)?;
        self.control.all_reduce(&shared, Reduce::Max)?;
        shared.f_copy_data(values, values.len())?;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Cause> {
        let limit = self.control.patience.get().limit;
        let (end, marks) = (Instant::now() + limit, self.marks.take());
        for (parties, event) in &marks {
            if let Err(text) = self.reach(event, end) {
                self.abort();
                let (group, peers) = (**parties).clone();
                let peers = self.control.processes.gone(&peers);
                return Err(Cause::Group { group, peers, text });
            }
        }
        Ok(())
    }
}

/// The ways that a role's transfers take, of a rank.
fn ways(plan: &Plan, rank: u32) -> Vec<Way> {
    let place = plan.mesh.place(rank);
    let role = &plan.roles[place.pp as usize];
    let mut all: Vec<Way> = transfers(role)
        .map(|transfer| {
            let peer = plan.mesh.rank(pleach_plan::Rank {
                pp: transfer.peer,
                ..place
            });
            let (from, to) = match transfer.kind {
                TransferKind::Send => (rank, peer),
                TransferKind::Receive => (peer, rank),
            };
            Way {
                from,
                to,
                gradient: transfer.wire == Wire::Gradient,
            }
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn transfers(role: &Role) -> impl Iterator<Item = &pleach_plan::Transfer> {
    role.slots.iter().filter_map(|slot| match slot {
        Slot::Start(transfer) => Some(transfer),
        _ => None,
    })
}

/// What one stage hands to another on a wire, in the order in which one of them begins it.
fn handed(plan: &Plan, own: u32, other: u32, kind: TransferKind, wire: Wire) -> Vec<[u32; 2]> {
    transfers(&plan.roles[own as usize])
        .filter(|one| one.peer == other && one.kind == kind && one.wire == wire)
        .map(|one| [one.chunk, one.micro_batch])
        .collect()
}

/// NCCL knows no tags: what is sent first is received first, so both ends of every way must begin in the same order.
///
/// # Errors
/// The stages whose orders differ.
pub fn orders_match(plan: &Plan) -> Result<(), String> {
    let stages = plan.roles.len() as u32;
    for (from, to) in (0..stages).flat_map(|from| (0..stages).map(move |to| (from, to))) {
        for wire in [Wire::Hidden, Wire::Gradient] {
            let sent = handed(plan, from, to, TransferKind::Send, wire);
            let received = handed(plan, to, from, TransferKind::Receive, wire);
            if sent != received {
                return Err(format!(
                    "stage {from} sends {wire:?} to stage {to} in another order than it is received, which NCCL cannot do"
                ));
            }
        }
    }
    Ok(())
}
