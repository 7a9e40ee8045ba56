//! What a worker says while it runs: lines of JSON on stdout for the launcher, text on stderr, records in the run's folder.
//!
//! One event is one line, flushed at once. Where no launcher keeps stderr (plain torchrun), the log goes to `log/rank-N.txt` too.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use pleach_plan::{Plan, json as plans};
use pleach_storage::files::replace;
use pleach_storage::run::{RankFailure, RunFolder, StepMetrics, Straggler};
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::Failure;
use crate::flight::Passed;
use crate::pace::Change;

/// What a rank's process took of memory, in bytes: `memory/rank-N.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Largest resident size.
    pub rss_peak: u64,
    /// Resident size before the first tensor.
    pub rss_begin: u64,
    /// Most bytes of named storages live at once.
    pub named_peak: u64,
    /// Most bytes that libtorch's CPU allocator had given out at once.
    pub allocated_peak: u64,
    /// Bytes that tensors reached in their arena, gaps included.
    pub arena: u64,
}

/// The voice of one worker.
#[derive(Debug)]
pub struct Voice {
    rank: u32,
    folder: RunFolder,
    log: Option<Mutex<File>>,
}

impl Voice {
    /// The voice of a rank that works in `run`, which is made if it is not there; `keep` says whether the log must be kept
    /// here.
    ///
    /// # Errors
    /// The system's.
    pub fn new(rank: u32, run: &Path, plan: &Plan, keep: bool) -> Result<Self, Failure> {
        let folder = open(run, plan)?;
        // The record of an earlier attempt would be taken for one of this.
        let _ = fs::remove_file(folder.failures().join(format!("rank-{rank}.json")));
        if !keep {
            return Ok(Self {
                rank,
                folder,
                log: None,
            });
        }
        let path = folder.log(rank);
        let file = fs::create_dir_all(folder.logs())
            .and_then(|()| OpenOptions::new().create(true).append(true).open(&path));
        let file = file.map_err(|error| Failure::file(&path, &error))?;
        Ok(Self {
            rank,
            folder,
            log: Some(Mutex::new(file)),
        })
    }

    /// The run's folder.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// A line for people.
    pub fn note(&self, text: &str) {
        tell(text);
        if let Some(log) = &self.log {
            let mut file = log.lock().unwrap_or_else(PoisonError::into_inner);
            // A log that cannot be written must not end a run.
            let _ = writeln!(file, "{text}");
        }
    }

    /// The ranks have met; `step` steps are done.
    pub fn ready(&self, step: u64) {
        say(&json!({"event": "ready", "step": step}));
    }

    /// A step has ended.
    pub fn step(&self, metrics: &StepMetrics) {
        let mut event = json!(metrics);
        event["event"] = json!("step");
        say(&event);
    }

    /// A checkpoint is complete.
    pub fn checkpoint(&self, step: u64) {
        say(&json!({"event": "checkpoint", "step": step}));
    }

    /// A rank has fallen behind the others, or recovered.
    pub fn straggler(&self, step: u64, change: &Change) {
        let straggler = Straggler {
            of: change.rank,
            step,
            ratio: change.ratio,
            others: change.others,
            recovered: change.recovered,
        };
        self.note(&straggler.to_string());
        let mut event = json!(straggler);
        event["event"] = json!("straggler");
        say(&event);
    }

    /// All that was asked has been done; what it took of memory.
    pub fn done(&self, step: u64, usage: &Usage) {
        let folder = self.folder.path().join("memory");
        let path = folder.join(format!("rank-{}.json", self.rank));
        let written = fs::create_dir_all(&folder)
            .map_err(|error| error.to_string())
            .and_then(|()| {
                let text = json!(usage).to_string();
                replace(&path, text.as_bytes()).map_err(|error| error.to_string())
            });
        // The model is saved; a disk that has no room for its figures does not undo that.
        if let Err(error) = written {
            self.note(&format!("{}: {error}", path.display()));
        }
        say(&json!({"event": "done", "step": step, "peak_bytes": usage.rss_peak, "memory": usage}));
    }

    /// Leaves what this rank did last, `failures/rank-N.flight.json`, for whoever looks for the cause of a failure.
    pub fn flight(&self, record: &[Passed]) {
        let folder = self.folder.failures();
        let path = folder.join(format!("rank-{}.flight.json", self.rank));
        let text = serde_json::to_string_pretty(record).unwrap_or_default();
        // The failure itself is what must be told.
        let _ = fs::create_dir_all(&folder).map(|()| replace(&path, text.as_bytes()));
    }

    /// This worker cannot go on: says so and leaves the record `failures/rank-N.json`.
    pub fn failed(&self, failure: &Failure) {
        self.note(&failure.to_string());
        // What cannot be written is still said.
        let _ = self.folder.write_failure(&record(self.rank, failure));
        say_failed(self.rank, failure);
    }
}

/// Opens the run's folder; one that a launcher has not made gets its plan.
fn open(run: &Path, plan: &Plan) -> Result<RunFolder, Failure> {
    let path = run.join("plan.json");
    if !path.exists() {
        fs::create_dir_all(run).map_err(|error| Failure::file(run, &error))?;
        replace(&path, plans::write(plan).as_bytes())
            .map_err(|error| Failure::file(&path, &error))?;
    }
    RunFolder::open(run).map_err(|error| Failure::file(run, &error))
}

fn record(rank: u32, failure: &Failure) -> RankFailure {
    RankFailure {
        rank,
        code: Some(failure.code.to_owned()),
        message: failure.message.clone(),
        step: failure.step,
        instruction: failure.instruction.clone(),
        peer: failure.peer,
        help: failure.help.as_deref().map(str::to_owned),
    }
}

/// Tells the launcher of a failure, for a worker that has no run's folder yet.
pub fn say_failed(rank: u32, failure: &Failure) {
    let mut event = json!(record(rank, failure));
    event["event"] = json!("failed");
    say(&event);
}

/// An id that was written on, for whoever turns it into text.
pub fn say_token(id: i64) {
    say(&json!({"event": "token", "id": id}));
}

/// A line for people on stderr, which may lead to a full disk or to nobody.
pub fn tell(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// One line on stdout. A launcher that is gone hears nothing, which is no reason to stop.
fn say(event: &Value) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{event}").and_then(|()| out.flush());
}
