//! What `--why` and `--why-not` say: tried values in, one object for scripts and a table for people out.

use std::fmt::Write as _;

use pleach_dsl::experiment::Experiment;
use pleach_plan::hardware::Hardware;
use serde::Serialize;

use super::differs::Differs;
use super::parts::{Memory, Placed, Time};
use super::screen::{self, gibibytes, seconds, wrap};
use crate::hardware::bands;
use crate::search::why::{Tried, Why};
use crate::search::{Evaluated, Rejected};

const WIDTH: usize = 80;

/// Reasons that a value's placements were rejected for, as many as are shown; `--json` has all.
const REASONS: usize = 3;

/// Why a field has its value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explained {
    /// The field: `tp`.
    pub field: String,
    /// The chosen value.
    pub chosen: String,
    /// Where the spec says something of it: `plan.tp = 2`, and the place; none where it is open.
    pub said: Option<String>,
    /// Every value that was tried, rising.
    pub values: Vec<Answered>,
    /// Larger values that need more memory still.
    pub beyond: u64,
    /// Values that are impossible, with their reasons.
    pub impossible: Vec<Rejected>,
}

/// One value of a field.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answered {
    /// The question: `tp = 8`, or `tp = 2, pp = 4`.
    pub question: String,
    /// The value: `8`, or `2, 4`.
    pub value: String,
    /// Whether it is the chosen placement's.
    pub chosen: bool,
    /// Whether the spec leaves it open.
    pub allowed: bool,
    /// The best placement with it.
    pub best: Option<Best>,
    /// Why it is not chosen, in a sentence.
    pub verdict: String,
    /// What was rejected under it, by reason.
    pub rejected: Vec<Rejected>,
}

/// The best placement with a value, beside the chosen one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Best {
    /// The placement.
    pub placement: Placed,
    /// Its step.
    pub time: Time,
    /// Its memory.
    pub memory: Memory,
    /// Its step over the chosen one's.
    pub step_ratio: f64,
    /// Its memory over the chosen one's.
    pub memory_ratio: f64,
    /// What it has otherwise, and what that makes of the parts of its step.
    pub differs: Differs,
}

impl Answered {
    /// A tried value beside the chosen placement.
    pub fn of(hardware: &Hardware, chosen: &Evaluated, tried: &Tried) -> Self {
        let ratio = |own: u64, theirs: u64| theirs as f64 / own.max(1) as f64;
        let best = |best: &Evaluated| {
            let bands = bands::of(hardware, &best.plan.engine);
            Best {
                placement: Placed::of(best),
                time: Time::of(best, &bands.step),
                memory: Memory::of(best, &bands.memory),
                step_ratio: ratio(chosen.simulation.step, best.simulation.step),
                memory_ratio: ratio(chosen.peak(), best.peak()),
                differs: Differs::of(chosen, best),
            }
        };
        Answered {
            question: tried.question.clone(),
            value: tried.value.clone(),
            chosen: tried.is_chosen,
            allowed: tried.is_allowed,
            best: tried.best.as_ref().map(best),
            verdict: tried.verdict.clone(),
            rejected: tried.rejected.clone(),
        }
    }
}

impl Explained {
    /// The answer to a question about a field.
    pub fn of(experiment: &Experiment, hardware: &Hardware, chosen: &Evaluated, why: &Why) -> Self {
        let value = why.field.chosen(experiment, chosen);
        let path = why.field.path();
        let origin = experiment
            .origins
            .get(&path)
            .filter(|origin| origin.text != "auto");
        let said = origin.map(|origin| format!("`{path}`: {} ({origin})", origin.text));
        let answered = |tried: &Tried| Answered::of(hardware, chosen, tried);
        Explained {
            field: why.field.name().to_owned(),
            chosen: value.map_or_else(String::new, |value| value.value()),
            said,
            values: why.tried.iter().map(answered).collect(),
            beyond: why.beyond,
            impossible: why.impossible.clone(),
        }
    }

    /// The table for people, at most 80 columns wide.
    pub fn screen(&self) -> String {
        let mut out = String::new();
        let said = self.said.as_deref().unwrap_or("the spec leaves it open");
        line(
            &mut out,
            &format!("why {} = {}? {said}", self.field, self.chosen),
            "  ",
        );
        line(&mut out, "", "");
        heading(&mut out, &self.field);
        for value in &self.values {
            row(&mut out, value, self.field.len());
        }
        if self.beyond > 0 {
            let values = if self.beyond == 1 {
                "value needs"
            } else {
                "values need"
            };
            line(
                &mut out,
                &format!("{} larger {values} more memory still", self.beyond),
                "    ",
            );
        }
        if !self.impossible.is_empty() {
            line(&mut out, "", "");
        }
        for region in screen::grouped(&self.impossible) {
            line(
                &mut out,
                &format!("{}: {}", region.what, region.why),
                "    ",
            );
        }
        out
    }
}

impl Answered {
    /// The answer to `--why-not` for people.
    pub fn screen(&self) -> String {
        let mut out = String::new();
        line(
            &mut out,
            &format!("why not {}? {}", self.question, self.verdict),
            "  ",
        );
        if let Some(best) = self.best.as_ref().filter(|_| !self.chosen) {
            line(
                &mut out,
                &format!("best: {}", screen::placement(&best.placement)),
                "    ",
            );
            line(&mut out, &figures(best), "          ");
            for told in best.differs.lines() {
                line(&mut out, &told, "          ");
            }
        }
        if self.best.is_some() {
            reasons(&mut out, &self.rejected, "    ");
        }
        out
    }
}

fn figures(best: &Best) -> String {
    let percent = |ratio: f64| format!("{:+.1} %", (ratio - 1.0) * 100.0);
    let [step, peak] = [best.step_ratio, best.memory_ratio].map(percent);
    let [time, memory] = [seconds(best.time.step_s), gibibytes(best.memory.peak_bytes)];
    format!("{time} ({step}), {memory} ({peak})")
}

fn heading(out: &mut String, field: &str) {
    let width = field.len().max(VALUE);
    line(
        out,
        &format!(
            "  {field:<width$} {:>9} {:>9}  {:>9}",
            "step", "memory", "time"
        ),
        "  ",
    );
}

/// Room for a value.
const VALUE: usize = 10;

fn row(out: &mut String, value: &Answered, field: usize) {
    let width = field.max(VALUE);
    let mark = if value.chosen { ">" } else { " " };
    let figures = value.best.as_ref().map_or_else(
        || format!("{:>9} {:>9}  {:>9}", "-", "-", "-"),
        |best| {
            let percent = format!("{:+.1} %", (best.step_ratio - 1.0) * 100.0);
            let [time, memory] = [seconds(best.time.step_s), gibibytes(best.memory.peak_bytes)];
            format!("{time:>9} {memory:>9}  {percent:>9}")
        },
    );
    line(
        out,
        &format!("{mark} {:<width$} {figures}", value.value),
        "  ",
    );
    let closed = if value.allowed {
        ""
    } else {
        "; the spec does not leave it open"
    };
    let verdict = if value.chosen {
        "chosen".to_owned()
    } else if value.verdict.ends_with("leave it open") {
        value.verdict.clone()
    } else {
        format!("{}{closed}", value.verdict)
    };
    line(out, &verdict, "      ");
    if !value.chosen
        && value
            .rejected
            .iter()
            .map(|region| region.count)
            .sum::<u64>()
            > 1
    {
        reasons(out, &value.rejected, "      ");
    }
}

/// The most frequent reasons, with their counts.
fn reasons(out: &mut String, rejected: &[Rejected], indent: &str) {
    let mut shown: Vec<&Rejected> = rejected.iter().collect();
    shown.sort_by_key(|region| std::cmp::Reverse(region.count));
    for region in shown.iter().take(REASONS) {
        let text = format!("{} x {}: {}", region.count, region.what, region.why);
        line(out, &text, indent);
    }
    let rest: u64 = shown.iter().skip(REASONS).map(|region| region.count).sum();
    if rest > 0 {
        line(
            out,
            &format!("{rest} x other reasons (--json has all)"),
            indent,
        );
    }
}

/// A paragraph behind an indent.
fn line(out: &mut String, text: &str, indent: &str) {
    for (index, part) in wrap(text, WIDTH - indent.len() - 2).iter().enumerate() {
        let deeper = if index == 0 { "" } else { "  " };
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{}", format!("{indent}{deeper}{part}").trim_end());
    }
}
