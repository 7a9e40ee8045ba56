//! `pleach diff A B`: what differs in meaning, which of the two identities changed, and what it does to memory, time and cost.
//!
//! A side is `FILE`, or `FILE#NAME` for one experiment or run of a sweep. What cannot be planned is compared all the same, without the effect.

use std::path::{Path, PathBuf};

use pleach_dsl::{Change, Loaded, Part, changes};
use pleach_planner::report::Report;
use serde_json::{Value, json};

use super::plan::report;
use crate::arguments::{DiffArguments, Global};
use crate::compile;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::lock;
use crate::screen::Screen;
use crate::screen::figures::{bytes, count, seconds};
use crate::screen::table::table;

/// The widest value that is shown whole.
const WIDEST: usize = 22;

/// Prints the differences.
pub fn diff(screen: &Screen, global: &Global, arguments: &DiffArguments) -> Outcome<Exit> {
    let sides = [&arguments.before, &arguments.after].map(|side| load(global, side));
    let [before, after] = match sides {
        [Ok(before), Ok(after)] => [before, after],
        [before, after] => return Err(both(before.err(), after.err())),
    };
    let changes = changes(&before.1, &after.1);
    let reports = [before, after].map(|(file, loaded)| Side::new(screen, &file, loaded));
    if screen.json {
        screen.data_json(&object(&reports, &changes));
    } else {
        screen.data(&shown(&reports, &changes));
    }
    let same = reports[0].hashes == reports[1].hashes && changes.is_empty();
    Ok(match arguments.detailed_exitcode && !same {
        true => Exit::Changed,
        false => Exit::Fine,
    })
}

/// One side, loaded.
struct Side {
    name: String,
    /// Of the experiment and of the placement.
    hashes: [String; 2],
    /// The figures, or why there are none.
    report: Result<Report, String>,
}

impl Side {
    fn new(screen: &Screen, file: &Path, loaded: Loaded) -> Side {
        let hash = |hash: &Option<String>| hash.clone().unwrap_or_default();
        let hashes = [hash(&loaded.hash), hash(&loaded.placement_hash)];
        let name = loaded.name.clone().unwrap_or_default();
        let report = planned(screen, file, loaded);
        Side {
            name,
            hashes,
            report,
        }
    }
}

/// The figures of one side, or in a few words why there are none.
fn planned(screen: &Screen, file: &Path, loaded: Loaded) -> Result<Report, String> {
    let experiment = match loaded.into_result() {
        Ok((experiment, _)) => experiment,
        Err(_) => return Err("it names no machines".to_owned()),
    };
    let planned = compile::table(screen, &experiment, lock::folder(file))
        .and_then(|hardware| compile::plan_on(file, experiment, hardware, 0));
    planned
        .map(|planned| report(&planned))
        .map_err(|failure| failure.title())
}

/// A side's file and what it holds, which must be right.
fn load(global: &Global, side: &str) -> Outcome<(PathBuf, Loaded)> {
    let (file, name) = match side.rsplit_once('#') {
        Some((file, name)) if !Path::new(side).exists() => (file, Some(name.to_owned())),
        _ => (side, None),
    };
    let mut global = global.clone();
    global.experiment = name.or(global.experiment);
    let loaded = compile::load(&global, Path::new(file))?;
    if loaded.hash.is_none() {
        return Err(Failure::problems(vec![loaded.problems]));
    }
    Ok((file.into(), loaded))
}

/// The mistakes of both sides.
fn both(before: Option<Failure>, after: Option<Failure>) -> Failure {
    let mut failures = before.into_iter().chain(after);
    let mut first = failures
        .next()
        .unwrap_or_else(|| Failure::problems(Vec::new()));
    for mut other in failures {
        first.problems.append(&mut other.problems);
        first.diagnostics.append(&mut other.diagnostics);
    }
    first
}

fn shown(sides: &[Side; 2], changes: &[Change]) -> String {
    let mut text = Vec::new();
    for (index, word) in ["experiment", "placement"].into_iter().enumerate() {
        let [one, other] =
            [0, 1].map(|side| sides[side].hashes[index].get(..12).unwrap_or_default());
        text.push(match one == other {
            true => format!("{word:<11} the same      {one}"),
            false => format!("{word:<11} another one   {one} → {other}"),
        });
    }
    for (part, title) in [
        (Part::Experiment, "What is trained"),
        (Part::Placement, "Machines and placement"),
        (Part::Neither, "Neither of the two"),
    ] {
        let rows: Vec<_> = changes
            .iter()
            .filter(|change| change.part == part)
            .map(row)
            .collect();
        if !rows.is_empty() {
            text.push(format!("\n{title}"));
            text.push(indented(&table(&["", "before", "after"], rows, 3)));
        }
    }
    if changes.iter().any(|change| change.follows) {
        text.push("\n ↳ follows from another change".to_owned());
    }
    text.push(effect(sides));
    text.join("\n")
}

fn row(change: &Change) -> Vec<String> {
    let side = |value: &Option<String>| match value {
        None => "–".to_owned(),
        Some(text) if text.chars().count() <= WIDEST => text.clone(),
        Some(text) => text.chars().take(WIDEST - 1).chain(['…']).collect(),
    };
    let mark = if change.follows { "↳" } else { " " };
    let path = format!("{mark} {}", change.path);
    vec![path, side(&change.before), side(&change.after)]
}

fn indented(text: &str) -> String {
    let lines = text.lines().skip(1).map(|line| format!(" {line}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// What the change does, as a table; why there is none where a side cannot be planned.
fn effect(sides: &[Side; 2]) -> String {
    let mut lines = Vec::new();
    for side in sides {
        if let Err(why) = &side.report {
            lines.push(format!("\nNo figures for {}: {why}", side.name));
        }
    }
    if let [Ok(before), Ok(after)] = [&sides[0].report, &sides[1].report] {
        let rows = figures(before, after);
        let known = rows
            .into_iter()
            .filter(|(_, _, values)| values.iter().any(Option::is_some));
        let rows = known.map(|(what, unit, values)| {
            let [one, other] =
                values.map(|value| value.map_or("unknown".to_owned(), |value| unit.show(value)));
            let ratio = values[0].zip(values[1]).filter(|(one, _)| *one > 0.0);
            let ratio = ratio.map_or(String::new(), |(one, other)| format!("{:.2}", other / one));
            vec![what.to_owned(), one, other, ratio]
        });
        let header = ["", sides[0].name.as_str(), sides[1].name.as_str(), "ratio"];
        lines.push(format!("\n{}", table(&header, rows.collect(), 1)));
    }
    lines.join("\n")
}

/// How a figure is shown.
#[derive(Clone, Copy)]
enum Unit {
    Seconds,
    Bytes,
    Dollars,
    Hours,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Unit::Seconds => seconds(value),
            Unit::Bytes => bytes(value as u64),
            Unit::Dollars => format!("{} usd", count(value.round() as u64)),
            Unit::Hours if value < 10.0 => format!("{value:.2}"),
            Unit::Hours => count(value.round() as u64),
        }
    }
}

type Figure = (&'static str, Unit, [Option<f64>; 2]);

fn figures(before: &Report, after: &Report) -> Vec<Figure> {
    let of = |pick: fn(&Report) -> Option<f64>| [pick(before), pick(after)];
    vec![
        (
            "step time",
            Unit::Seconds,
            of(|report| Some(report.time.step_s)),
        ),
        (
            "run time",
            Unit::Seconds,
            of(|report| Some(report.run.seconds)),
        ),
        (
            "GPU-hours",
            Unit::Hours,
            of(|report| Some(report.run.gpu_hours)),
        ),
        ("cost", Unit::Dollars, of(|report| report.run.cost_usd)),
        (
            "peak memory",
            Unit::Bytes,
            of(|report| Some(report.memory.peak_bytes as f64)),
        ),
    ]
}

fn object(sides: &[Side; 2], changes: &[Change]) -> Value {
    let hash = |index: usize| {
        let [before, after] = [0, 1].map(|side| &sides[side].hashes[index]);
        json!({"before": before, "after": after, "changed": before != after})
    };
    let changes: Vec<Value> = changes
        .iter()
        .map(|change| {
            json!({"path": change.path, "before": change.before, "after": change.after,
                "part": change.part.word(), "follows": change.follows})
        })
        .collect();
    let figures = |side: &Side| match &side.report {
        Ok(report) => json!({"name": side.name, "placement": report.placement, "time": report.time,
            "memory": report.memory, "run": report.run}),
        Err(why) => json!({"name": side.name, "unplanned": why}),
    };
    json!({"experiment": hash(0), "placement": hash(1), "changes": changes,
        "before": figures(&sides[0]), "after": figures(&sides[1])})
}
