//! `cargo xtask bench`: how long a person waits, how fast data is made and read, how fast one rank trains beside PyTorch, and how far
//! runs are from their plans.
//!
//! Contestants alternate inside one run, so that a noisy machine is noisy for both; medians are printed with their spread.

mod corpus;
pub mod data;
pub mod planning;
pub mod prediction;
mod shape;
mod spec;
pub mod training;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::demo::fresh;
use crate::process::{Doing, Failure, cargo, run as finish};
use crate::{places, setup};

const QUICKSTART: &str = "examples/quickstart.pleach";

/// Cold processes of each command.
const COLD_RUNS: usize = 15;

/// Runs the benchmark.
///
/// # Errors
/// Something could not be built or run.
pub fn run() -> Result<(), Failure> {
    build()?;
    cold_processes()?;
    checking()?;
    planning::run()?;
    data::run()?;
    training::run()?;
    prediction::run()
}

/// Builds what is measured.
///
/// # Errors
/// libtorch is missing, or something does not build.
fn build() -> Result<(), Failure> {
    setup::run(false)?;
    finish(&mut cargo([
        "build",
        "--release",
        "--package",
        "pleach",
        "--package",
        "pleach-executor",
    ]))
}

/// Seconds of several measurements.
struct Times(Vec<f64>);

impl Times {
    fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }

    fn range(&self) -> [f64; 2] {
        let bounds = |[low, high]: [f64; 2], &time: &f64| [low.min(time), high.max(time)];
        self.0.iter().fold([f64::INFINITY, 0.0], bounds)
    }
}

fn pleach(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(places::binaries("release").join("pleach"));
    command
        .current_dir(folder)
        .arg(arguments[0])
        .arg(places::root().join(QUICKSTART))
        .args(&arguments[1..]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn cold_processes() -> Result<(), Failure> {
    println!("\ncold processes on {QUICKSTART}, {COLD_RUNS} of each in alternation");
    let commands = [("check", 20.0), ("plan", 200.0)];
    let mut times = [Times(Vec::new()), Times(Vec::new())];
    for _ in 0..COLD_RUNS {
        for ((name, _), times) in commands.iter().zip(&mut times) {
            let begin = Instant::now();
            finish(pleach(places::root(), &[name]).stderr(Stdio::null()))?;
            times.0.push(begin.elapsed().as_secs_f64() * 1e3);
        }
    }
    for ((name, goal), times) in commands.iter().zip(&times) {
        let (median, [low, high]) = (times.median(), times.range());
        println!(
            "  pleach {name:<6} median {median:6.1} ms   ({low:.1} to {high:.1}; goal {goal:.0} ms)"
        );
    }
    Ok(())
}

/// Checking as a cold process: the largest example, and a file of many lines.
fn checking() -> Result<(), Failure> {
    let folder = fresh("bench-check")?;
    let long = folder.join("long.pleach");
    fs::write(&long, spec::long()).doing(|| format!("could not write {}", long.display()))?;
    let examples = places::root().join("examples");
    let size = |path: &PathBuf| fs::metadata(path).map_or(0, |found| found.len());
    let largest = fs::read_dir(&examples)
        .doing(|| format!("could not read {}", examples.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .max_by_key(size)
        .ok_or_else(|| Failure::new("there are no examples"))?;
    println!("\nchecking, {COLD_RUNS} cold processes of each");
    let lines = format!("{} lines", spec::LINES);
    for (what, file, goal) in [
        ("the largest example", &largest, 15.0),
        (&lines, &long, 300.0),
    ] {
        let mut times = Times(Vec::new());
        for _ in 0..COLD_RUNS {
            let mut command = Command::new(places::binaries("release").join("pleach"));
            command.arg("check").arg(file).stdin(Stdio::null());
            command.stdout(Stdio::null()).stderr(Stdio::null());
            let begin = Instant::now();
            finish(&mut command)?;
            times.0.push(begin.elapsed().as_secs_f64() * 1e3);
        }
        let (median, [low, high]) = (times.median(), times.range());
        println!(
            "  {what:<20} median {median:6.1} ms   ({low:.1} to {high:.1}; goal {goal:.0} ms)"
        );
    }
    Ok(())
}
