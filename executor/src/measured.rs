//! What each instruction took: in come the instructions of all steps but the first, out come their number, sum and shortest time.
//!
//! Host time, so on a device that works beside the host it says when instructions were issued. Kept for every run, since it costs two
//! readings of a clock; `pleach profile` lays it beside what the plan says.

use std::collections::BTreeMap;
use std::time::Instant;

use pleach_plan::measured::{Instruction, Measured};

use crate::interpreter::{Memory, Observer};
use crate::place::{Place, What};

/// An instruction of a body, by where the body's name stands in the plan, or what a transfer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Instruction(usize, usize),
    Begins(&'static str),
    Waits(&'static str),
}

/// Adds up while it is an observer.
#[derive(Debug)]
pub struct Tally {
    began: Instant,
    all: BTreeMap<Key, Instruction>,
}

impl Tally {
    /// Nothing yet.
    pub fn new() -> Self {
        Tally {
            began: Instant::now(),
            all: BTreeMap::new(),
        }
    }

    /// What was added up over so many steps of a phase.
    pub fn measured(&self, rank: u32, phase: usize, placement: &str, steps: u64) -> Measured {
        Measured {
            rank,
            phase,
            placement: placement.to_owned(),
            steps,
            instructions: self.all.values().cloned().collect(),
        }
    }
}

impl Default for Tally {
    fn default() -> Self {
        Tally::new()
    }
}

impl Observer for Tally {
    fn begin(&mut self, _place: &Place<'_>, _memory: &dyn Memory) {
        self.began = Instant::now();
    }

    fn end(&mut self, place: &Place<'_>, _memory: &dyn Memory) {
        let seconds = self.began.elapsed().as_secs_f64();
        let key = match place.what {
            What::Instruction { body, index, .. } => {
                Key::Instruction(body.as_ptr() as usize, index)
            }
            What::Start(transfer) => Key::Begins(crate::place::transfer_name(transfer)),
            What::Wait(transfer) => Key::Waits(crate::place::transfer_name(transfer)),
        };
        let own = self.all.entry(key).or_insert_with(|| named(place));
        own.calls += 1;
        own.seconds += seconds;
        own.shortest = own.shortest.min(seconds);
    }
}

/// An instruction that was not called yet.
fn named(place: &Place<'_>) -> Instruction {
    let (body, index) = match place.what {
        What::Instruction { body, index, .. } => (body, Some(index)),
        What::Start(_) => ("begin", None),
        What::Wait(_) => ("wait", None),
    };
    Instruction {
        body: body.to_owned(),
        index,
        name: place.name(),
        calls: 0,
        seconds: 0.0,
        shortest: f64::INFINITY,
    }
}
