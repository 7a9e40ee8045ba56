//! What is done beside a run's steps: what its instructions took, and where it is asked for traces and ledgers of its first steps, and a death
//! at an instruction.

use std::fs;
use std::path::{Path, PathBuf};

use pleach_plan::ledger::{Boundary, boundaries};
use pleach_plan::{Mark, Plan};
use serde_json::{Value, json};

use crate::error::Failure;
use crate::interpreter::Observer;
use crate::killed::{KillAt, Killer};
use crate::ledger::Ledger;
use crate::measured::Tally;
use crate::trace::Recorder;
use crate::train::Options;

/// Steps that a trace holds.
const TRACED: u64 = 4;
/// Steps after which the ledger is taken: the first one warms libraries up.
const WARMUP: u64 = 1;

/// The recorders of one rank.
#[derive(Debug)]
pub struct Records {
    rank: u32,
    stage: u32,
    seen: u64,
    trace: Option<Recorder>,
    ledger: Option<Ledger>,
    tally: Tally,
    kill_at: Option<KillAt>,
    killer: Option<Killer>,
}

impl Records {
    /// What the options ask for.
    pub fn new(options: &Options, rank: u32, stage: u32) -> Self {
        let title = format!("rank {rank}, stage {stage}");
        Self {
            rank,
            stage,
            seen: 0,
            trace: options.trace.as_ref().map(|_| Recorder::new(rank, &title)),
            ledger: options.ledger.then(Ledger::new),
            tally: Tally::new(),
            kill_at: options.kill_at.filter(|at| at.rank == rank),
            killer: None,
        }
    }

    /// The observers of the step that comes next.
    pub fn observers(&mut self, step: u64) -> Vec<&mut dyn Observer> {
        let seen = self.seen;
        self.seen += 1;
        let dies = self.kill_at.filter(|at| at.step == step + 1);
        self.killer = dies.map(|at| Killer::new(at.number));
        let mut all: Vec<&mut dyn Observer> = Vec::new();
        if seen >= WARMUP {
            all.push(&mut self.tally);
        }
        all.extend(self.killer.iter_mut().map(|own| own as &mut dyn Observer));
        if let Some(trace) = self.trace.as_mut().filter(|_| seen < TRACED) {
            trace.set_step(step);
            all.push(trace);
        }
        if let Some(ledger) = self.ledger.as_mut().filter(|_| seen <= WARMUP) {
            ledger.mark(Mark::StepBegin);
            all.push(ledger);
        }
        all
    }

    /// Writes what was recorded: `PREFIX-rank-N.json`, and in the run's folder `measured/rank-N.json` and `ledger/rank-N.json`.
    ///
    /// # Errors
    /// The system's.
    pub fn write(&mut self, options: &Options, plan: &Plan) -> Result<(), Failure> {
        if let (Some(trace), Some(prefix)) = (self.trace.take(), &options.trace) {
            let mut name = prefix.clone().into_os_string();
            name.push(format!("-rank-{}.json", self.rank));
            write(&PathBuf::from(name), &json!(trace.finish()))?;
        }
        let steps = self.seen.saturating_sub(WARMUP);
        let placement = &plan.hashes.placement;
        let measured = self
            .tally
            .measured(self.rank, options.phase, placement, steps);
        let name = format!("rank-{}.json", self.rank);
        if steps > 0 {
            // The model is trained; a disk that has no room for these figures does not undo that.
            let _ = write(&options.run.join("measured").join(&name), &json!(measured));
        }
        if let Some(ledger) = &self.ledger {
            let planned: Vec<Boundary> =
                boundaries(plan, &plan.roles[self.stage as usize]).collect();
            let lines = planned
                .iter()
                .zip(&ledger.boundaries)
                .map(|(planned, found)| line(planned, found));
            let path = options.run.join("ledger").join(name);
            write(&path, &Value::Array(lines.collect()))?;
        }
        Ok(())
    }
}

fn line(planned: &Boundary, found: &Boundary) -> Value {
    json!({
        "slot": found.slot, "layer": found.layer, "instruction": found.instruction,
        "live": found.live, "inside": found.inside, "planned_live": planned.live, "planned_inside": planned.inside,
    })
}

fn write(path: &Path, value: &Value) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, value.to_string()))
        .map_err(|error| Failure::file(path, &error))
}
