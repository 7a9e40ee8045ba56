//! Attempts at a run, one behind the other: after a fault the workers are started again from the last complete checkpoint.
//!
//! In come a run and how often it may go on by itself; out comes the end of the last attempt. What was asked to stop is not started again, nor what
//! fell twice at the same step: it would fall there once more.

use crate::attempt::{self, Run};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::screen::Screen;

/// Runs it to its end, going on after at most `restarts` faults.
pub fn attempts(screen: &Screen, mut run: Run<'_>, restarts: u32) -> Outcome<Exit> {
    let mut fell = None;
    for restart in 1..=restarts {
        let failure = match attempt::attempt(screen, &run) {
            Err(failure) if can_go_on(&failure) => failure,
            ended => return ended,
        };
        let reached = reached(&run);
        let again = reached.is_some() && fell == reached;
        fell = reached;
        let done = attempt::newest(screen, &run.folder, run.plan, true)?;
        let done = done.map(|checkpoint| checkpoint.manifest.step);
        if again {
            screen.note("it fell at the same step as before, so it is not started again");
            return Err(failure);
        }
        let why = failure
            .diagnostics
            .first()
            .map(|first| first.message.as_str());
        screen.warn("pleach::run::restart", why.unwrap_or("a rank failed"));
        let from = done.map_or_else(
            || "from the beginning".to_owned(),
            |step| format!("after step {step}"),
        );
        screen.note(&format!("going on {from}: restart {restart} of {restarts}"));
        run.resume = done;
        run.is_new = false;
    }
    attempt::attempt(screen, &run)
}

/// Whether a fault of a rank ended it, and nobody's wish.
fn can_go_on(failure: &Failure) -> bool {
    failure.exit == Exit::Fault && !failure.is_about("pleach::run::aborted")
}

/// The step that the last attempt came to.
fn reached(run: &Run<'_>) -> Option<u64> {
    let record = run.folder.read_record().ok().flatten()?;
    record.attempts.last()?.last_step
}
