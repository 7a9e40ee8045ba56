//! What a worker says while it runs: lines of JSON on stdout for the launcher, text on stderr, metrics in a file.
//!
//! One event is one line, flushed at once. Where no launcher keeps stderr (plain torchrun), the log goes to `log/rank-N.txt` too.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde_json::{Value, json};

use crate::error::Failure;

/// The figures of one step, as they stand in `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metrics {
    /// Steps done, counting this one.
    pub step: u64,
    /// Mean loss over the global batch.
    pub loss: f64,
    /// Gradient norm before clipping.
    pub grad_norm: f64,
    /// Learning rate of the update.
    pub lr: f64,
    /// Tokens of the global batch over `step_s`.
    pub tokens_per_s: f64,
    /// Seconds the step took on this rank.
    pub step_s: f64,
    /// Resident size of this rank's process, in bytes.
    pub rss: u64,
    /// Largest resident size so far, in bytes.
    pub rss_peak: u64,
    /// Most bytes of named storages live at once so far.
    pub named_peak: u64,
    /// Most bytes that libtorch's CPU allocator had given out at once so far.
    pub allocated_peak: u64,
}

/// The voice of one worker.
#[derive(Debug)]
pub struct Voice {
    rank: u32,
    folder: PathBuf,
    log: Option<Mutex<File>>,
}

impl Voice {
    /// A worker's voice; `folder` is the run's `log`, and `keep` says whether the log must be kept here.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(rank: u32, folder: PathBuf, keep: bool) -> Result<Self, Failure> {
        fs::create_dir_all(&folder).map_err(|error| Failure::file(&folder, &error))?;
        let voice = Self { rank, log: None, folder };
        // A record of an earlier attempt would be taken for one of this.
        let _ = fs::remove_file(voice.record_path());
        if !keep {
            return Ok(voice);
        }
        let path = voice.folder.join(format!("rank-{rank}.txt"));
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.map_err(|error| Failure::file(&path, &error))?;
        Ok(Self { log: Some(Mutex::new(file)), ..voice })
    }

    /// A line for people.
    pub fn note(&self, text: &str) {
        eprintln!("{text}");
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
    pub fn step(&self, metrics: &Metrics) {
        say(&json!({
            "event": "step", "step": metrics.step, "loss": metrics.loss, "grad_norm": metrics.grad_norm, "lr": metrics.lr,
            "seconds": metrics.step_s, "tokens_per_s": metrics.tokens_per_s, "memory_bytes": metrics.rss,
        }));
    }

    /// A checkpoint is complete.
    pub fn checkpoint(&self, step: u64) {
        say(&json!({"event": "checkpoint", "step": step}));
    }

    /// All that was asked has been done; what it took of memory.
    pub fn done(&self, step: u64, memory: &Value) {
        say(&json!({"event": "done", "step": step, "peak_bytes": memory["rss_peak"], "memory": memory}));
    }

    /// This worker cannot go on: says so and leaves the record `log/rank-N.failure.json`.
    pub fn failed(&self, failure: &Failure) {
        self.note(&failure.to_string());
        let mut record = json!(failure);
        record["rank"] = json!(self.rank);
        let _ = fs::write(self.record_path(), record.to_string());
        record["event"] = json!("failed");
        say(&record);
    }

    fn record_path(&self) -> PathBuf {
        self.folder.join(format!("rank-{}.failure.json", self.rank))
    }
}

/// One line on stdout. A launcher that is gone hears nothing, which is no reason to stop.
pub fn say(event: &Value) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{event}").and_then(|()| out.flush());
}

/// `metrics.jsonl`, one line a step.
#[derive(Debug)]
pub struct MetricsFile(File);

impl MetricsFile {
    /// Opens the file and drops what lies beyond `done` steps, because it will be done again.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path, done: u64) -> Result<Self, Failure> {
        let old = fs::read_to_string(path).unwrap_or_default();
        let kept: String = old.lines().filter(|line| step_of(line).is_some_and(|step| step <= done)).fold(
            String::new(),
            |text, line| text + line + "\n",
        );
        pleach_storage::files::replace(path, kept.as_bytes()).map_err(|error| Failure::file(path, &error))?;
        let file = OpenOptions::new().append(true).open(path).map_err(|error| Failure::file(path, &error))?;
        Ok(Self(file))
    }

    /// Adds a line.
    ///
    /// # Errors
    /// The system's.
    pub fn write(&mut self, metrics: &Metrics) -> std::io::Result<()> {
        writeln!(self.0, "{}", json!(metrics))
    }
}

fn step_of(line: &str) -> Option<u64> {
    serde_json::from_str::<Value>(line).ok()?.get("step")?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(step: u64, loss: f64) -> Metrics {
        Metrics {
            step,
            loss,
            grad_norm: 1.0,
            lr: 0.1,
            tokens_per_s: 1.0,
            step_s: 1.0,
            rss: 1,
            rss_peak: 1,
            named_peak: 1,
            allocated_peak: 1,
        }
    }

    #[test]
    fn resuming_drops_what_will_be_done_again_and_losses_keep_all_bits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let loss = 0.1 + 0.2;
        let mut file = MetricsFile::open(&path, 0).unwrap();
        (1..=4).for_each(|step| file.write(&metrics(step, loss)).unwrap());
        // A killed process may leave half a line.
        fs::write(&path, fs::read_to_string(&path).unwrap() + "{\"step\": 5, \"lo").unwrap();
        let mut file = MetricsFile::open(&path, 2).unwrap();
        file.write(&metrics(3, 7.0)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let values: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(values.iter().map(|value| value["step"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(values[0]["loss"].as_f64().unwrap().to_bits(), loss.to_bits());
    }
}
