//! `pleach runs`: the runs of this folder, oldest first, with how far each came and how it ended.

use std::path::Path;

use pleach_storage::run::{RunError, RunFolder, RunRecord, StepMetrics};
use serde_json::json;

use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::planfile;
use crate::screen::{Screen, figures, table};

/// Where runs are kept, below the working folder.
pub const FOLDER: &str = "runs";

/// What is shown of one run.
struct Line {
    path: String,
    began: u64,
    step: u64,
    steps: Option<u64>,
    loss: Option<f64>,
    state: &'static str,
    attempts: usize,
}

/// Lists them.
pub fn runs(screen: &Screen) -> Outcome<Exit> {
    let mut lines: Vec<Line> = folders(Path::new(FOLDER))?
        .iter()
        .map(|folder| line(screen, folder))
        .collect();
    lines.sort_by(|one, other| (one.began, &one.path).cmp(&(other.began, &other.path)));
    if screen.json {
        let value = |line: &Line| {
            json!({"run": line.path, "began": line.began, "step": line.step, "steps": line.steps, "loss": line.loss,
                "state": line.state, "attempts": line.attempts})
        };
        screen.data_json(&lines.iter().map(value).collect());
        return Ok(Exit::Fine);
    }
    if lines.is_empty() {
        screen.note("there are no runs in this folder; `pleach run FILE` makes one");
        return Ok(Exit::Fine);
    }
    screen.data(&table(&lines));
    Ok(Exit::Fine)
}

/// All run folders; a folder of runs that is not there has none.
pub fn folders(runs: &Path) -> Outcome<Vec<RunFolder>> {
    let entries = match std::fs::read_dir(runs) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::reading(runs, &error)),
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    // What is being made, or was left by a crash while being made, is no run.
    paths.retain(|path| {
        path.extension()
            .is_none_or(|extension| extension != "partial")
    });
    paths.sort();
    Ok(paths
        .iter()
        .filter_map(|path| RunFolder::open(path).ok())
        .collect())
}

fn line(screen: &Screen, folder: &RunFolder) -> Line {
    let record = folder.read_record().unwrap_or_else(|error| {
        screen.warn("pleach::run::damaged", &error.to_string());
        None
    });
    let last = StepMetrics::read(&folder.metrics())
        .ok()
        .and_then(|metrics| metrics.into_iter().last());
    let attempts = record.as_ref().map_or(0, |record| record.attempts.len());
    Line {
        path: folder.path().display().to_string(),
        began: record
            .as_ref()
            .and_then(|record| record.attempts.first())
            .map_or(0, |attempt| attempt.began),
        step: last.as_ref().map_or(0, |metrics| metrics.step),
        steps: planfile::read(&folder.plan())
            .ok()
            .map(|plan| plan.run_steps()),
        loss: last
            .map(|metrics| metrics.loss)
            .filter(|loss| !loss.is_nan()),
        state: state(folder, record.as_ref()),
        attempts,
    }
}

fn state(folder: &RunFolder, record: Option<&RunRecord>) -> &'static str {
    let Some(attempt) = record.and_then(|record| record.attempts.last()) else {
        return "not begun";
    };
    match attempt.exit {
        Some(0) => "ended",
        Some(75) => "saved",
        Some(_) => "failed",
        None if matches!(folder.lock(), Err(RunError::Locked { .. })) => "running",
        None => "killed",
    }
}

fn table(lines: &[Line]) -> String {
    let cells = |line: &Line| {
        let steps = line
            .steps
            .map_or_else(String::new, |steps| format!(" of {steps}"));
        let loss = line.loss.map_or_else(|| "-".to_owned(), figures::number);
        let step = format!("{}{steps}", line.step);
        vec![
            line.path.clone(),
            line.state.to_owned(),
            step,
            loss,
            line.attempts.to_string(),
        ]
    };
    table::table(
        &["run", "state", "step", "loss", "attempts"],
        lines.iter().map(cells).collect(),
        2,
    )
}
