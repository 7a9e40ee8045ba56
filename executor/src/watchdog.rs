//! A thread outside everything that may hang: when an instruction takes longer than its deadline, it says which and ends the
//! process.
//!
//! It sees every instruction, so it keeps the flight record too. Collectives have deadlines of their own; this one is a little later and does not rest on libtorch keeping them.

use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::deadlines::{Allowed, Deadlines, Patience};
use crate::error::{Exit, Failure};
use crate::flight::{Flight, Passed};
use crate::interpreter::{Memory, Observer};
use crate::place::Place;

/// How much later than the collectives' own deadline.
const GRACE: Duration = Duration::from_secs(2);
/// How often it looks.
const INTERVAL: Duration = Duration::from_millis(200);

#[derive(Debug)]
struct Watched {
    deadlines: Deadlines,
    patience: Patience,
    since: Option<Instant>,
    doing: String,
    step: u64,
    flight: Flight,
}

impl Watched {
    /// Something begins that is allowed so much.
    fn began(&mut self, allowed: Allowed) {
        self.patience.set(allowed);
        self.since = Some(Instant::now());
    }

    fn ended(&mut self) {
        self.since = None;
        self.flight.end();
    }
}

/// What is being watched; also the observer that keeps it up to date.
#[derive(Clone, Debug)]
pub struct Watch(Arc<Mutex<Watched>>);

impl Watch {
    /// Starts the thread; `late` is called once, with what took too long. Through `patience` those who wait inside of an instruction know
    /// what it is allowed.
    pub fn start(
        deadlines: Deadlines,
        patience: Patience,
        late: impl FnOnce(Failure, &[Passed]) + Send + 'static,
    ) -> Self {
        let watch = Watch(Arc::new(Mutex::new(Watched {
            deadlines,
            patience,
            since: None,
            doing: String::new(),
            step: 0,
            flight: Flight::default(),
        })));
        let own = watch.clone();
        thread::spawn(move || {
            let failure = loop {
                thread::sleep(INTERVAL);
                if let Some(failure) = own.overdue() {
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

    /// A step has ended after so many seconds.
    pub fn step_took(&self, seconds: f64) {
        self.lock().deadlines.step_took(seconds);
    }

    /// What this rank did last.
    pub fn record(&self) -> Vec<Passed> {
        self.lock().flight.record()
    }

    /// Watches something that no plan predicts until the guard is dropped.
    pub fn doing(&self, what: &str) -> Doing<'_> {
        let allowed = self.lock().deadlines.begin_unpredicted();
        self.begun(what, allowed)
    }

    /// Watches an agreement of all ranks, which each comes to when it has done its step, until the guard is dropped.
    pub fn agreeing(&self, what: &str) -> Doing<'_> {
        let allowed = self.lock().deadlines.waiting();
        self.begun(what, allowed)
    }

    fn begun(&self, what: &str, allowed: Allowed) -> Doing<'_> {
        let mut watched = self.lock();
        watched.doing.clear();
        watched.doing.push_str(what);
        watched.began(allowed);
        let step = watched.step;
        watched.flight.begin(step, &what);
        Doing(self)
    }

    fn overdue(&self) -> Option<Failure> {
        let watched = self.lock();
        let (elapsed, allowed) = (watched.since?.elapsed(), watched.patience.get());
        (elapsed > allowed.limit + GRACE).then(|| {
            let message = format!("no end after {:.0} s; {allowed}", elapsed.as_secs_f64());
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
        let allowed = watched.deadlines.at(place);
        watched.began(allowed);
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
        let limit = Duration::from_millis(300);
        let (deadlines, patience) = (Deadlines::flat(limit), Patience::new(limit));
        let watch = Watch::start(deadlines, patience, move |failure, record| {
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
