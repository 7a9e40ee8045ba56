//! `metrics.jsonl`: one line of figures for each step of a run that is written, and the same as events for TensorBoard.
//!
//! In come a step's figures from rank 0; out comes a file in which every line is whole and steps rise, also across crashes and
//! resumed runs: a line is one write, a torn last line is dropped, and what lies after the checkpoint that a run goes on from
//! is cut off.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use pleach_plan::Logging;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::tensorboard::EventsWriter;
use super::{RunError, RunFolder, number};
use crate::files::At;

/// The figures of one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepMetrics {
    /// Steps done, counting this one: the first line has 1.
    pub step: u64,
    /// Mean loss over the tokens of the global batch, in nats; like the next three not a number where it was not written.
    #[serde(with = "number", default = "unwritten")]
    pub loss: f64,
    /// Norm of the gradient before clipping.
    #[serde(with = "number", default = "unwritten")]
    pub grad_norm: f64,
    /// Learning rate of the update.
    #[serde(with = "number", default = "unwritten")]
    pub lr: f64,
    /// Tokens of the global batch over `seconds`.
    #[serde(with = "number", default = "unwritten")]
    pub tokens_per_s: f64,
    /// Wall time of the step.
    #[serde(with = "number")]
    pub seconds: f64,
    /// Samples consumed since the beginning of the run.
    pub samples: u64,
    /// Largest resident size of a rank so far, in bytes, where the system tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// What the loss was multiplied with before gradients were taken, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<f64>,
    /// Norm of all parameters behind the update, where it is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub param_norm: Option<f64>,
    /// Part of a device's peak that the model's own products took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utilization: Option<f64>,
    /// Steps so far whose update was left out, since they were not finite.
    #[serde(default, skip_serializing_if = "is_none")]
    pub skipped: u64,
    /// Mean loss over the validation part, where it was measured after this step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_loss: Option<f64>,
    /// The same over the test part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_loss: Option<f64>,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

fn unwritten() -> f64 {
    f64::NAN
}

/// The figures of a step by name, in their order.
const NAMES: [&str; 14] = [
    "step",
    "loss",
    "grad_norm",
    "lr",
    "tokens_per_s",
    "seconds",
    "samples",
    "memory_bytes",
    "loss_scale",
    "param_norm",
    "utilization",
    "skipped",
    "validation_loss",
    "test_loss",
];

/// What is written of a step.
struct Written(Vec<(&'static str, Value)>);

impl Serialize for Written {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl Written {
    fn of(metrics: &StepMetrics, logging: &Logging) -> Self {
        let mut value = serde_json::to_value(metrics).expect("figures are plain JSON");
        let names = NAMES.into_iter().filter(|name| logging.has(name));
        let figures = names.filter_map(|name| Some((name, value.get_mut(name)?.take())));
        Written(figures.collect())
    }

    /// All but the step, as numbers; what JSON cannot say as a number is written as its name.
    fn scalars(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let figures = self.0.iter().filter(|(name, _)| *name != "step");
        figures.filter_map(|(name, value)| match value {
            Value::String(text) => Some((*name, text.parse().ok()?)),
            value => Some((*name, value.as_f64()?)),
        })
    }
}

/// Appends to the metrics of a run.
#[derive(Debug)]
pub struct MetricsWriter {
    logging: Logging,
    lines: Option<(PathBuf, File)>,
    events: Option<EventsWriter>,
}

impl MetricsWriter {
    /// Opens the files of a run that goes on after `step` steps (0 for one that begins): later and torn lines are cut off.
    ///
    /// # Errors
    /// A line that is no metrics, or the system's.
    pub fn resume(
        folder: &RunFolder,
        logging: &Logging,
        step: u64,
    ) -> Result<MetricsWriter, RunError> {
        let path = folder.metrics();
        let lines = logging.lines.then(|| lines_after(&path, step));
        let events = logging
            .tensorboard
            .then(|| EventsWriter::begin(&folder.events(), step));
        Ok(MetricsWriter {
            logging: logging.clone(),
            lines: lines.transpose()?.map(|file| (path, file)),
            events: events.transpose()?,
        })
    }

    /// Writes what the run wants of a step, which may be nothing; `last` is the step it ends with.
    ///
    /// # Errors
    /// The system's.
    pub fn append(&mut self, metrics: &StepMetrics, last: u64) -> Result<(), RunError> {
        let measured = metrics.validation_loss.or(metrics.test_loss).is_some();
        if !measured && !self.logging.is_due(metrics.step, last) {
            return Ok(());
        }
        let figures = Written::of(metrics, &self.logging);
        if let Some((path, file)) = &mut self.lines {
            let mut line = serde_json::to_vec(&figures).expect("figures are plain JSON");
            line.push(b'\n');
            file.write_all(&line).at("write", path)?;
        }
        if let Some(events) = &mut self.events {
            events.append(metrics.step, figures.scalars())?;
        }
        Ok(())
    }
}

/// The file of lines, without those after `step`.
fn lines_after(path: &Path, step: u64) -> Result<File, RunError> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    let file = options.open(path).at("open", path)?;
    let text = fs::read(path).at("read", path)?;
    let kept = kept(path, &text, step)?;
    if kept < text.len() {
        file.set_len(kept as u64)
            .and_then(|()| file.sync_all())
            .at("cut", path)?;
    }
    Ok(file)
}

/// How many bytes are of steps up to `step`; what lies behind is not looked at.
fn kept(path: &Path, text: &[u8], step: u64) -> Result<usize, RunError> {
    let mut kept = 0;
    for (line, end) in whole_lines(text) {
        if parse(path, text, line)?.step > step {
            break;
        }
        kept = end;
    }
    Ok(kept)
}

/// What a run that goes on cuts off its lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Whole lines.
    pub lines: u64,
    /// The last step that has one, where it can be read.
    pub last: Option<u64>,
    /// Whether the last line is torn.
    pub torn: bool,
}

impl Cut {
    /// What would be cut of a run that goes on after `step` steps; nothing where there is no file.
    ///
    /// # Errors
    /// A line that stays and is no metrics, with its number, or the system's.
    pub fn after(path: &Path, step: u64) -> Result<Cut, RunError> {
        let text = read(path)?;
        let cut = &text[kept(path, &text, step)?..];
        let steps = whole_lines(cut).map(|(line, _)| parse(path, &text, line).ok());
        Ok(Cut {
            lines: whole_lines(cut).count() as u64,
            last: steps.flatten().map(|metrics| metrics.step).last(),
            torn: !cut.is_empty() && !cut.ends_with(b"\n"),
        })
    }
}

/// The file's text; none where there is no file yet.
fn read(path: &Path) -> Result<Vec<u8>, RunError> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        text => Ok(text.at("read", path)?),
    }
}

impl StepMetrics {
    /// All whole lines of a run's metrics; none where there is no file yet.
    ///
    /// # Errors
    /// A line that is no metrics, with its number, or the system's.
    pub fn read(path: &Path) -> Result<Vec<StepMetrics>, RunError> {
        let text = read(path)?;
        whole_lines(&text)
            .map(|(line, _)| parse(path, &text, line))
            .collect()
    }
}

/// Lines that end with a line feed, and where each ends; a torn last line is left out.
fn whole_lines(text: &[u8]) -> impl Iterator<Item = (&[u8], usize)> {
    text.split_inclusive(|&byte| byte == b'\n')
        .scan(0, |end, line| {
            *end += line.len();
            line.ends_with(b"\n").then_some((line, *end))
        })
}

fn parse(path: &Path, text: &[u8], line: &[u8]) -> Result<StepMetrics, RunError> {
    serde_json::from_slice(line).map_err(|error| {
        let before = line.as_ptr() as usize - text.as_ptr() as usize;
        let number = text[..before].iter().filter(|&&byte| byte == b'\n').count() + 1;
        RunError::Damaged {
            path: path.to_path_buf(),
            line: Some(number),
            problem: format!("line {number} is no step's figures: {error}"),
        }
    })
}
