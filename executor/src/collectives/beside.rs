//! Collectives beside the computation: one thread has the groups for which nothing else waits, and works through what it is asked in turn.
//!
//! In come operations on tensors, out come transfers that end when the operation has. All members ask in the same order, as they do
//! where each call waits.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};

use pleach_plan::{GroupId, Reduce};
use tch::Tensor;

use super::direct::GlooGroup;
use super::{Begun, Communicator, Transfer};
use crate::error::Cause;

/// What is asked of a group.
enum Work {
    AllReduce(Tensor, Reduce),
    AllGather(Tensor, Tensor),
    ReduceScatter(Tensor, Tensor),
    ScatterInPlace(Tensor),
}

struct Job {
    group: GroupId,
    work: Work,
    done: Sender<Result<(), Cause>>,
}

/// The thread, as long as somebody may ask.
#[derive(Clone)]
pub struct Beside {
    jobs: Sender<Job>,
}

impl Beside {
    /// Gives groups to a thread of their own.
    ///
    /// # Errors
    /// The system starts no thread.
    pub fn start(mut groups: BTreeMap<GroupId, GlooGroup>) -> Result<Self, Cause> {
        let (jobs, asked) = channel::<Job>();
        let work = move || {
            let mut lost: Option<Cause> = None;
            for Job { group, work, done } in asked {
                let result = match (&lost, groups.get_mut(&group)) {
                    (Some(first), _) => Err(repeated(first)),
                    (None, Some(group)) => run(group, &work),
                    (None, None) => Err(Cause::State(format!("group {} is not here", group.0))),
                };
                if let (None, Err(first)) = (&lost, &result) {
                    lost = Some(repeated(first));
                }
                // Nobody waits where the run has failed meanwhile.
                let _ = done.send(result);
            }
        };
        let thread = std::thread::Builder::new().name("collectives".to_owned());
        let started = thread.spawn(work);
        started.map_err(|error| Cause::State(format!("no thread for collectives: {error}")))?;
        Ok(Self { jobs })
    }

    fn ask(&self, group: GroupId, work: Work) -> Pending {
        let (done, end) = channel();
        // A thread that is gone answers nothing, which waiting finds out.
        let _ = self.jobs.send(Job { group, work, done });
        Pending(end)
    }
}

/// What broke first is told to everybody who waits: what breaks behind it only follows from it.
fn repeated(first: &Cause) -> Cause {
    match first {
        Cause::Group { group, peers, text } => Cause::Group {
            group: group.clone(),
            peers: peers.clone(),
            text: text.clone(),
        },
        other => Cause::State(other.to_string()),
    }
}

fn run(group: &mut GlooGroup, work: &Work) -> Result<(), Cause> {
    match work {
        Work::AllReduce(x, reduce) => group.all_reduce(x, *reduce),
        Work::AllGather(own, joined) => group.all_gather(own, joined),
        Work::ReduceScatter(pieces, own) => group.reduce_scatter(pieces, own),
        Work::ScatterInPlace(pieces) => group.scatter_in_place(pieces),
    }
}

/// An operation under way.
struct Pending(Receiver<Result<(), Cause>>);

impl Transfer for Pending {
    fn wait(&mut self) -> Result<(), Cause> {
        let gone = |_| Cause::State("the thread of the collectives has ended".to_owned());
        self.0.recv().map_err(gone)?
    }
}

/// A group that the thread has, for those who wait and those who do not.
pub struct Member {
    group: GroupId,
    own: u32,
    size: u32,
    beside: Beside,
}

impl Member {
    /// A group of so many members, of which this is the one of that number.
    pub fn new(group: GroupId, [own, size]: [u32; 2], beside: &Beside) -> Self {
        Self {
            group,
            own,
            size,
            beside: beside.clone(),
        }
    }
}

impl Communicator for Member {
    fn size(&self) -> u32 {
        self.size
    }

    fn all_reduce(&mut self, x: &Tensor, reduce: Reduce) -> Result<(), Cause> {
        let work = Work::AllReduce(x.shallow_clone(), reduce);
        self.beside.ask(self.group, work).wait()
    }

    fn all_gather(&mut self, own: &Tensor, joined: &Tensor) -> Result<(), Cause> {
        let work = Work::AllGather(own.shallow_clone(), joined.shallow_clone());
        self.beside.ask(self.group, work).wait()
    }

    fn reduce_scatter(&mut self, pieces: &Tensor, own: &Tensor) -> Result<(), Cause> {
        let work = Work::ReduceScatter(pieces.shallow_clone(), own.shallow_clone());
        self.beside.ask(self.group, work).wait()
    }

    fn begin_all_reduce(&mut self, x: &Tensor, reduce: Reduce) -> Option<Box<dyn Transfer>> {
        let work = Work::AllReduce(x.shallow_clone(), reduce);
        Some(Box::new(self.beside.ask(self.group, work)))
    }

    fn begin_reduce_scatter(&mut self, pieces: &Tensor) -> Result<Option<Begun>, Cause> {
        let result = pieces.f_select(0, i64::from(self.own))?;
        let work = Work::ScatterInPlace(pieces.shallow_clone());
        let transfer = Box::new(self.beside.ask(self.group, work));
        Ok(Some(Begun { transfer, result }))
    }
}
