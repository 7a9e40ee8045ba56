//! One attempt at a run: a folder and a checked plan in, workers launched and watched, their end recorded and told.
//!
//! The folder's lock is held from before the first process to after the last one; the record is written when the attempt
//! begins and again when it ends, so that a launcher that was killed leaves an attempt without an end.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use pleach_plan::Plan;
use pleach_storage::checkpoint::{self, Checkpoint};
use pleach_storage::run::{Attempt, RunError, RunFolder, RunRecord, WorkerExit};
use serde_json::json;

use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::launch::ending::{Ending, Rank};
use crate::launch::event::Event;
use crate::launch::supervise::supervise;
use crate::launch::{Job, find};
use crate::progress::{Measured, Progress};
use crate::screen::{Screen, comparison, figures};

/// What to run.
#[derive(Debug)]
pub struct Run<'p> {
    /// Its folder.
    pub folder: RunFolder,
    /// The plan that stands in it.
    pub plan: &'p Plan,
    /// The prepared data.
    pub data: PathBuf,
    /// Steps done that the attempt goes on from; none to begin.
    pub resume: Option<u64>,
    /// End after so many steps of the run.
    pub steps: Option<u64>,
    /// Whether the folder was made for this attempt.
    pub is_new: bool,
}

/// Runs it to its end.
pub fn attempt(screen: &Screen, run: &Run<'_>) -> Outcome<Exit> {
    let worker = find::worker()?;
    let _lock = run.folder.lock().map_err(|error| run_failure(&error))?;
    run.folder
        .clear_failures()
        .map_err(|error| run_failure(&error))?;
    let mut record = run
        .folder
        .read_record()
        .map_err(|error| run_failure(&error))?;
    let record = record.get_or_insert_with(|| RunRecord::new(run.plan, "bitwise"));
    record.data_order.clone_from(&run.plan.data.order);
    record.attempts.push(begin(run.resume.unwrap_or(0)));
    run.folder
        .write_record(record)
        .map_err(|error| run_failure(&error))?;
    let ranks = run.plan.mesh.ranks();
    let job = Job {
        worker,
        arguments: arguments(run),
        ranks,
        logs: run.folder.logs(),
    };
    let last = run.steps.unwrap_or(u64::MAX).min(run.plan.training.steps);
    let mut progress = Progress::new(screen, last, ranks);
    let ending = supervise(&job, &mut |rank, event: Event| progress.hear(rank, &event));
    progress.finish();
    let measured = std::mem::take(&mut progress.measured);
    let ending = ending.inspect_err(|_| never_began(run, record))?;
    let ending = ending.with_records(run.folder.read_failures(ranks).unwrap_or_default());
    let met = measured.first_step.is_some();
    let exit = ending.exit(met);
    if let Some(attempt) = record.attempts.last_mut() {
        end(attempt, &measured, &ending, exit);
    }
    if let Err(error) = run.folder.write_record(record) {
        // How the run ended matters more than that it could not be written down.
        screen.warn("pleach::run::file", &error.to_string());
    }
    let told = tell(screen, run, &ending, &measured, exit);
    if run.is_new && refused(exit) {
        // It never began: what it was refused for is told, and its name is free again.
        let _ = std::fs::remove_dir_all(run.folder.path());
    }
    told
}

/// Takes back what was written before the workers could not be started.
fn never_began(run: &Run<'_>, record: &mut RunRecord) {
    if run.is_new {
        let _ = std::fs::remove_dir_all(run.folder.path());
    } else {
        record.attempts.pop();
        let _ = run.folder.write_record(record);
    }
}

/// Whether a run ended before it began.
fn refused(exit: Exit) -> bool {
    matches!(exit, Exit::Wish | Exit::Machine)
}

fn arguments(run: &Run<'_>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["--plan".into(), run.folder.plan().into()];
    arguments.extend([
        "--run".into(),
        run.folder.path().into(),
        "--data".into(),
        run.data.clone().into(),
    ]);
    if run.resume.is_some() {
        arguments.push("--resume".into());
    }
    if let Some(steps) = run.steps {
        arguments.extend(["--steps".into(), steps.to_string().into()]);
    }
    arguments
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn begin(first_step: u64) -> Attempt {
    Attempt {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        began: now(),
        first_step,
        ..Attempt::default()
    }
}

fn end(attempt: &mut Attempt, measured: &Measured, ending: &Ending, exit: Exit) {
    let worker = |rank: &Rank| WorkerExit {
        rank: rank.rank,
        code: rank.status.code(),
        signal: std::os::unix::process::ExitStatusExt::signal(&rank.status),
    };
    attempt.ended = Some(now());
    attempt.last_step = Some(measured.last_step.max(attempt.first_step));
    attempt.exit = Some(exit as i32);
    attempt.workers = ending.ranks.iter().map(worker).collect();
    attempt.workers.sort_by_key(|worker| worker.rank);
}

/// The answer of the attempt: what was reached, and predicted against measured.
fn tell(
    screen: &Screen,
    run: &Run<'_>,
    ending: &Ending,
    measured: &Measured,
    exit: Exit,
) -> Outcome<Exit> {
    let folder = run.folder.path().display();
    let resume = format!("`pleach resume {folder}` goes on from the last complete checkpoint");
    let help = if run.is_new && refused(exit) {
        "nothing was left behind"
    } else {
        &resume
    };
    if let Some(failure) = ending.failure(help) {
        return Err(Failure { exit, ..failure });
    }
    let rows = comparison::rows(run.plan, measured);
    if screen.json {
        let [first, last] = measured
            .loss
            .map_or([None, None], |[first, last]| [Some(first), Some(last)]);
        screen.data_json(
            &json!({"run": run.folder.path().to_string_lossy(), "exit": exit as i32, "step": measured.last_step,
            "steps": run.plan.training.steps, "first_loss": first, "last_loss": last,
            "compared": comparison::json(&rows)}),
        );
        return Ok(exit);
    }
    if let Some([first, last]) = measured.loss {
        let [first, last] = [first, last].map(figures::number);
        let steps = (measured.first_step.unwrap_or(0) + 1, measured.last_step);
        screen.data(&format!(
            "loss {first} -> {last} over steps {} to {}",
            steps.0, steps.1
        ));
    }
    if !rows.is_empty() {
        screen.data(&comparison::table(&rows));
    }
    screen.data(&format!("run: {folder}"));
    if exit == Exit::Preempted {
        screen.note(&format!(
            "saved after step {} and stopped; `pleach resume {folder}` goes on",
            measured.last_step
        ));
    }
    Ok(exit)
}

/// The newest good checkpoint of a run; damaged newer ones are told, and all damaged is a failure.
pub fn newest(screen: &Screen, folder: &RunFolder, plan: &Plan) -> Outcome<Option<Checkpoint>> {
    let found = checkpoint::newest(&folder.checkpoints())
        .map_err(|error| Failure::machine("pleach::checkpoint::file", error.to_string()))?;
    let reasons: Vec<String> = found.rejected.iter().map(ToString::to_string).collect();
    let Some(good) = found.checkpoint else {
        if reasons.is_empty() {
            return Ok(None);
        }
        let message = format!(
            "no checkpoint of `{}` can be believed",
            folder.path().display()
        );
        return Err(Failure::machine("pleach::checkpoint::damaged", message)
            .detail(reasons.join("\n"))
            .help("restore the files from a copy, or move the run away and begin again; nothing was changed"));
    };
    good.check(plan)
        .map_err(|error| Failure::wish("pleach::checkpoint::other", error.to_string()))?;
    for reason in &reasons {
        screen.warn(
            "pleach::checkpoint::damaged",
            &format!("a newer checkpoint is damaged and left out: {reason}"),
        );
    }
    Ok(Some(good))
}

/// A run's folder that could not be used.
pub fn run_failure(error: &RunError) -> Failure {
    let (code, wish, help) = match error {
        RunError::Exists { .. } => ("pleach::run::exists", true, None),
        RunError::NotARun { .. } => (
            "pleach::run::not_a_run",
            true,
            Some("`pleach runs` lists the runs of this folder"),
        ),
        RunError::Locked { .. } => ("pleach::run::locked", true, None),
        RunError::Damaged { .. } => ("pleach::run::damaged", false, None),
        RunError::File(_) => (
            "pleach::run::file",
            false,
            Some("the disk must have room and the folder be writable"),
        ),
    };
    let failure = if wish {
        Failure::wish(code, error.to_string())
    } else {
        Failure::machine(code, error.to_string())
    };
    match help {
        Some(help) => failure.help(help),
        None => failure,
    }
}
