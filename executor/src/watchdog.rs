//! A thread outside everything that may hang: when an instruction takes longer than its deadline, it says which and ends the
//! process.
//!
//! It sees every instruction, so it keeps the flight record too. Collectives have deadlines of their own; this one is a little later and does not rest on libtorch keeping them.

use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Exit, Failure};
use crate::flight::{Flight, Passed};
use crate::interpreter::{Memory, Observer};
use crate::place::Place;

/// How much later than the collectives' own deadline.
const GRACE: Duration = Duration::from_secs(2);
/// How often it looks.
const INTERVAL: Duration = Duration::from_millis(200);

#[derive(Debug, Default)]
struct Watched {
    since: Option<Instant>,
    doing: String,
    step: u64,
    flight: Flight,
}

impl Watched {
    fn ended(&mut self) {
        self.since = None;
        self.flight.end();
    }
}

/// What is being watched; also the observer that keeps it up to date.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<Mutex<Watched>>);

impl Watch {
    /// Starts the thread; `late` is called once, with what took too long.
    pub fn start(
        deadline: Duration,
        late: impl FnOnce(Failure, &[Passed]) + Send + 'static,
    ) -> Self {
        let watch = Watch::default();
        let own = watch.clone();
        thread::spawn(move || {
            let failure = loop {
                thread::sleep(INTERVAL);
                if let Some(failure) = own.overdue(deadline + GRACE) {
                    break failure;
                }
            };
            let record = own.record();
            late(failure, &record);
        });
        watch
    }

    /// The step that comes next, counted from 0.
    pub fn set_step(&self, step: u64) {
        self.lock().step = step;
    }

    /// What this rank did last.
    pub fn record(&self) -> Vec<Passed> {
        self.lock().flight.record()
    }

    /// Watches something that is no instruction until the guard is dropped.
    pub fn doing(&self, what: &str) -> Doing<'_> {
        let mut watched = self.lock();
        watched.doing.clear();
        watched.doing.push_str(what);
        watched.since = Some(Instant::now());
        let step = watched.step;
        watched.flight.begin(step, &what);
        Doing(self)
    }

    fn overdue(&self, limit: Duration) -> Option<Failure> {
        let watched = self.lock();
        let elapsed = watched.since?.elapsed();
        (elapsed > limit).then(|| {
            let message = format!("no end after {:.0} s, the deadline is {:.0} s", elapsed.as_secs_f64(), (limit - GRACE).as_secs_f64());
            Failure {
                step: Some(watched.step + 1),
                instruction: Some(watched.doing.clone()),
                ..Failure::new(Exit::Fault, "pleach::worker::deadline", message)
                    .help("a rank that stands still stops all others: look at the ranks this one waits for")
            }
        })
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Watch {
    fn begin(&mut self, place: &Place<'_>, _memory: &dyn Memory) {
        let mut watched = self.lock();
        watched.doing.clear();
        // Writing to a string cannot fail.
        let _ = write!(watched.doing, "{place}");
        watched.since = Some(Instant::now());
        let step = watched.step;
        watched.flight.begin(step, place);
    }

    fn end(&mut self, _place: &Place<'_>, _memory: &dyn Memory) {
        self.lock().ended();
    }
}

/// Ends the watching of something when dropped.
#[derive(Debug)]
pub struct Doing<'w>(&'w Watch);

impl Drop for Doing<'_> {
    fn drop(&mut self) {
        self.0.lock().ended();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn what_takes_too_long_is_named_and_what_ends_is_not() {
        let (sender, receiver) = mpsc::channel();
        let watch = Watch::start(Duration::from_millis(300), move |failure, record| {
            let last = record.last().map(|last| last.what.clone());
            assert_eq!(last.as_deref(), Some("waiting for ever"));
            sender.send(failure).unwrap()
        });
        watch.set_step(4);
        drop(watch.doing("something quick"));
        assert!(
            receiver
                .recv_timeout(GRACE + Duration::from_secs(1))
                .is_err()
        );
        let _guard = watch.doing("waiting for ever");
        let failure = receiver
            .recv_timeout(GRACE + Duration::from_secs(2))
            .unwrap();
        assert_eq!(
            (failure.instruction.as_deref(), failure.step),
            (Some("waiting for ever"), Some(5))
        );
    }
}
