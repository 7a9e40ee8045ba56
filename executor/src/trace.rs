//! A trace of what really happened, in the simulator's format, from the machine's monotonic clock.
//!
//! Spans of an instruction lie on the stream of its kind; waiting for a transfer is a span of that transfer. The clock is the
//! same for all processes of a machine since it was booted, so that their traces can be laid beside each other. On a device each instruction is
//! waited for, so the traced steps are slower than others, and each span is what its kernels took.

use std::time::{Duration, Instant};

use pleach_plan::trace::{Arguments, Event, Stream, Trace};

use crate::interpreter::{Memory, Observer};
use crate::native::cuda;
use crate::place::{Place, What};

/// Records spans while it is an observer.
#[derive(Debug)]
pub struct Recorder {
    rank: u32,
    step: u64,
    origin: Instant,
    offset: Duration,
    began: Duration,
    events: Vec<Event>,
}

impl Recorder {
    /// An empty trace of a rank.
    pub fn new(rank: u32, title: &str) -> Self {
        let (origin, offset) = (Instant::now(), since_boot());
        Self {
            rank,
            step: 0,
            origin,
            offset,
            began: Duration::ZERO,
            events: Event::names(rank, title),
        }
    }

    /// The step that comes next.
    pub fn set_step(&mut self, step: u64) {
        self.step = step;
    }

    /// All that was recorded.
    pub fn finish(self) -> Trace {
        Trace {
            events: self.events,
        }
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }
}

impl Observer for Recorder {
    fn begin(&mut self, _place: &Place<'_>, _memory: &dyn Memory) {
        // A kernel that failed is said where its step is waited for.
        let _ = cuda::synchronize();
        self.began = self.now();
    }

    fn end(&mut self, place: &Place<'_>, _memory: &dyn Memory) {
        let _ = cuda::synchronize();
        let duration = self.now() - self.began;
        let (category, stream) = match place.what {
            What::Instruction { body, instr, .. } if instr.op.group().is_some() => {
                (body, Stream::Collective)
            }
            What::Instruction { body, .. } => (body, Stream::Compute),
            What::Start(_) | What::Wait(_) => ("transfer", Stream::Transfer),
        };
        let arguments = Arguments {
            slot: Some(place.slot),
            layer: place.layer(),
            instruction: place.index(),
            micro_batch: Some(place.micro_batch()),
            step: Some(self.step),
            name: None,
        };
        let times = [self.offset + self.began, duration].map(|time| time.as_secs_f64() * 1e6);
        self.events.push(Event::span(
            &place.name(),
            category,
            self.rank,
            stream,
            times,
            arguments,
        ));
    }
}

/// The monotonic clock's reading: time since the machine was booted.
fn since_boot() -> Duration {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call only writes to `now`.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    Duration::new(
        now.tv_sec.unsigned_abs(),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}
