//! `record.json`: what a run is and how each attempt at it ended.
//!
//! In come identities and, for every launch, where it began and how its workers ended; out comes one small file that
//! `pleach runs` and scripts read. It is replaced as a whole, so that it is never half written.

use std::fmt;
use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

use super::{RunError, RunFolder};
use crate::files::{At, replace};

/// The version of `record.json`.
const SCHEMA: u32 = 1;

/// What a run is, and its attempts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Version of this format.
    pub schema: u32,
    /// The experiment's name.
    pub experiment: String,
    /// Its identity.
    pub experiment_hash: String,
    /// The identity of the program that the last launch ran.
    pub placement_hash: String,
    /// Hash over the order of all samples.
    pub data_order: Option<String>,
    /// `bitwise` where the same placement gives the same bits again, in a repetition and behind a resumption; `reproducible` where every other cut of
    /// replicas, stages and micro-batches does too; `fast` where kernels of a device may add in another order each time.
    pub mode: String,
    /// Number of its ranks.
    pub ranks: u32,
    /// The file of the spec, or of the plan, that it was begun with, or went on under last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Every launch, oldest first.
    pub attempts: Vec<Attempt>,
    /// What was consumed of each component by the end of the last launch, phase by phase.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consumed: Vec<Consumed>,
}

/// What a run, or a phase of it, consumed of a component of its mix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Consumed {
    /// The phase, where the run has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// The component.
    #[serde(rename = "name")]
    pub component: String,
    /// The share that was asked for.
    pub asked: f64,
    /// Samples that came from it.
    pub samples: u64,
    /// Their tokens.
    pub tokens: u64,
    /// Passes over it since the beginning of the run.
    pub epochs: f64,
    /// How often the spec allows to pass over it.
    pub allowed_epochs: f64,
}

/// One launch of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// The program's version.
    pub version: String,
    /// BLAKE3 of the worker that was started, as hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The identity of the program that it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement_hash: Option<String>,
    /// Seconds since 1970 when it began.
    pub began: u64,
    /// Seconds since 1970 when it ended; none while it runs, or if the launcher itself was killed.
    pub ended: Option<u64>,
    /// Steps done when it began.
    pub first_step: u64,
    /// Steps done when it ended.
    pub last_step: Option<u64>,
    /// The launcher's exit code.
    pub exit: Option<i32>,
    /// How the workers ended.
    pub workers: Vec<WorkerExit>,
    /// Ranks that fell behind the others and recovered, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stragglers: Vec<Straggler>,
}

/// A rank that computes slower than the others, or no longer does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Straggler {
    /// The rank.
    pub of: u32,
    /// Steps done when it was noticed.
    pub step: u64,
    /// How many times as long as the plan says it computes.
    pub ratio: f64,
    /// The median of the others.
    pub others: f64,
    /// Whether it has recovered.
    pub recovered: bool,
}

impl fmt::Display for Straggler {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Straggler {
            of,
            step,
            ratio,
            others,
            recovered,
        } = self;
        let again = if *recovered {
            "as fast as the others again: "
        } else {
            ""
        };
        write!(
            out,
            "step {step}: rank {of} computes {again}{ratio:.2} times as long as the plan says; the others {others:.2}"
        )
    }
}

/// How one worker ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerExit {
    /// Its rank.
    pub rank: u32,
    /// Its exit code, if it ended by itself.
    pub code: Option<i32>,
    /// The signal that ended it otherwise.
    pub signal: Option<i32>,
}

impl RunRecord {
    /// The record of a run that has not been launched yet.
    pub fn new(plan: &pleach_plan::Plan, mode: &str) -> RunRecord {
        RunRecord {
            schema: SCHEMA,
            experiment: plan.experiment.clone(),
            experiment_hash: plan.hashes.experiment.clone(),
            placement_hash: plan.hashes.placement.clone(),
            data_order: plan.data.order.clone(),
            mode: mode.to_owned(),
            ranks: plan.mesh.ranks(),
            source: None,
            attempts: Vec::new(),
            consumed: Vec::new(),
        }
    }

    /// Begins another launch, of this plan. What earlier ones ran is kept, also where they did not say it themselves.
    pub fn begin(&mut self, plan: &pleach_plan::Plan, attempt: Attempt) {
        for earlier in &mut self.attempts {
            let own = &mut earlier.placement_hash;
            own.get_or_insert_with(|| self.placement_hash.clone());
        }
        self.placement_hash.clone_from(&plan.hashes.placement);
        self.data_order.clone_from(&plan.data.order);
        self.ranks = plan.mesh.ranks();
        self.attempts.push(Attempt {
            placement_hash: Some(plan.hashes.placement.clone()),
            ..attempt
        });
    }
}

impl RunFolder {
    /// Replaces the run's record.
    ///
    /// # Errors
    /// The system's.
    pub fn write_record(&self, record: &RunRecord) -> Result<(), RunError> {
        let text = serde_json::to_string_pretty(record).expect("a record is plain JSON");
        Ok(replace(&self.record(), text.as_bytes())?)
    }

    /// The run's record; none before the first launch.
    ///
    /// # Errors
    /// No record of this version, or the system's.
    pub fn read_record(&self) -> Result<Option<RunRecord>, RunError> {
        let path = self.record();
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.at("read", &path)?,
        };
        let record: RunRecord =
            serde_json::from_slice(&text).map_err(|error| RunError::damaged(&path, error))?;
        if record.schema == SCHEMA {
            Ok(Some(record))
        } else {
            let problem = format!("schema {}, this program reads {SCHEMA}", record.schema);
            Err(RunError::damaged(&path, problem))
        }
    }
}
