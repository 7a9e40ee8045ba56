//! `cargo xtask bench`: how long a person waits, how fast data is made and read, and how fast one rank trains beside PyTorch.
//!
//! Contestants alternate inside one run, so that a noisy machine is noisy for both; medians are printed with their spread.

mod corpus;
pub mod data;
pub mod planning;
mod shape;
mod spec;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::demo::{fresh, only_run, steps};
use crate::process::{Doing, Failure, capture, cargo, run as finish};
use crate::{places, setup};

const QUICKSTART: &str = "examples/quickstart.pleach";
const EAGER: &str = "tests/python/eager_neox.py";

/// Cold processes of each command.
const COLD_RUNS: usize = 15;
/// Training runs of each contestant.
const TRAINING_RUNS: usize = 3;
/// Steps of a training run; the first ones are not counted.
const STEPS: usize = 14;
const WARM_UP: usize = 4;

/// Runs the benchmark.
///
/// # Errors
/// Something could not be built or run.
pub fn run() -> Result<(), Failure> {
    setup::run(false)?;
    finish(&mut cargo([
        "build",
        "--release",
        "--package",
        "pleach",
        "--package",
        "pleach-executor",
    ]))?;
    cold_processes()?;
    checking()?;
    planning::run()?;
    data::run()?;
    match setup::python::ensure() {
        Ok(python) => training(&python),
        Err(why) => {
            println!("training beside PyTorch: skipped: {why}");
            Ok(())
        }
    }
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

/// One rank of the quickstart against the same model in eager PyTorch, A B A B.
fn training(python: &Path) -> Result<(), Failure> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    println!(
        "\ntraining the quickstart on one rank with {threads} threads, {TRAINING_RUNS} runs of {STEPS} steps in alternation"
    );
    let (mut ours, mut theirs) = (Times(Vec::new()), Times(Vec::new()));
    let mut tokens = 0.0;
    for round in 0..TRAINING_RUNS {
        let run = train(round, threads)?;
        let plan = shape::read(&run.join("plan.json"))?;
        tokens = shape::tokens_of_step(&plan)?;
        ours.0
            .extend(steps(&run, "seconds").into_iter().skip(WARM_UP));
        theirs.0.extend(
            train_eager(python, &shape::of(&plan, threads, STEPS)?)?
                .into_iter()
                .skip(WARM_UP),
        );
    }
    for (name, times) in [("pleach-worker", &ours), ("PyTorch eager", &theirs)] {
        let [low, high] = times.range();
        println!(
            "  {name}  median {:8.0} tokens/s   ({:.0} to {:.0})",
            tokens / times.median(),
            tokens / high,
            tokens / low
        );
    }
    println!(
        "  ratio {:.2} (goal 1.0 or more)",
        theirs.median() / ours.median()
    );
    Ok(())
}

fn train(round: usize, threads: usize) -> Result<PathBuf, Failure> {
    let home = fresh(&format!("bench-{round}"))?;
    let steps = STEPS.to_string();
    let mut command = pleach(
        &home,
        &[
            "run",
            "--yes",
            "--quiet",
            "--no-progress",
            "--steps",
            &steps,
        ],
    );
    for setting in [
        "cluster.gpus_per_node=1",
        "plan.tp=1",
        "plan.pp=1",
        "plan.dp=1",
    ] {
        command.args(["--set", setting]);
    }
    finish(command.env("OMP_NUM_THREADS", threads.to_string()))?;
    only_run(&home)
}

fn train_eager(python: &Path, shape: &Value) -> Result<Vec<f64>, Failure> {
    let text = capture(
        Command::new(python)
            .arg(places::root().join(EAGER))
            .arg(shape.to_string()),
    )?;
    let answer: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::new(format!("{EAGER} printed no JSON: {error}")))?;
    let seconds = answer["seconds"]
        .as_array()
        .map(|all| all.iter().filter_map(Value::as_f64).collect());
    seconds.ok_or_else(|| Failure::new(format!("{EAGER} printed no seconds")))
}
