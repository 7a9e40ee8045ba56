//! The bytes that a rank really holds at every boundary of a step, in the plan's own terms.
//!
//! Live bytes are those of the distinct storages behind all names; what a kernel takes beside them is the counting
//! allocator's peak while it runs. [`pleach_plan::ledger::boundaries`] must give the same live bytes and no less inside.

use pleach_plan::Mark;
use pleach_plan::ledger::Boundary;

use crate::interpreter::{Memory, Observer};
use crate::native::memory;
use crate::place::Place;

/// Records boundaries while it is an observer.
#[derive(Debug, Default)]
pub struct Ledger {
    /// The boundaries of the last step that began.
    pub boundaries: Vec<Boundary>,
    named: u64,
    allocated: u64,
}

impl Ledger {
    /// Begins to count allocations, for the whole process.
    pub fn new() -> Self {
        memory::count();
        Self::default()
    }
}

impl Observer for Ledger {
    fn begin(&mut self, _place: &Place<'_>, held: &dyn Memory) {
        self.named = held.named_bytes();
        self.allocated = memory::live();
        memory::begin_window();
    }

    fn end(&mut self, place: &Place<'_>, held: &dyn Memory) {
        let inside = self.named + memory::window().saturating_sub(self.allocated);
        self.boundaries.push(Boundary {
            slot: place.slot,
            layer: place.layer(),
            instruction: place.index(),
            live: held.named_bytes(),
            inside,
        });
    }

    fn mark(&mut self, mark: Mark) {
        if mark == Mark::StepBegin {
            self.boundaries.clear();
        }
    }
}
