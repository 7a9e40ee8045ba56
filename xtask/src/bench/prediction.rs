//! Plan against run: what plans for this machine said of a step and of memory, and what runs of them took.
//!
//! The machine is measured first (`pleach calibrate`), then each placement is planned and run, so that nothing here was fitted to what it
//! is compared with.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Times, build, pleach, shape};
use crate::demo::{fresh, only_run, steps};
use crate::places;
use crate::process::{Doing, Failure, run as finish};

/// Steps of a run; the first ones are not counted.
const STEPS: usize = 12;
const WARM_UP: usize = 3;

/// What a placement is called, its ranks, and what pins it.
type Placement = (&'static str, u32, &'static [&'static str]);

const PLACEMENTS: [Placement; 9] = [
    ("one rank", 1, &["plan.tp=1", "plan.pp=1"]),
    (
        "one rank, full recompute",
        1,
        &["plan.tp=1", "plan.pp=1", "plan.recompute=full"],
    ),
    (
        "one rank, bf16",
        1,
        &["plan.tp=1", "plan.pp=1", "train.precision=bf16"],
    ),
    (
        "one rank, 12 x 192",
        1,
        &[
            "plan.tp=1",
            "plan.pp=1",
            "model.layers=12",
            "model.hidden=192",
        ],
    ),
    ("tp 2", 2, &["plan.tp=2", "plan.pp=1"]),
    ("pp 2", 2, &["plan.tp=1", "plan.pp=2"]),
    (
        "dp 2, ZeRO 1",
        2,
        &["plan.tp=1", "plan.pp=1", "plan.zero=1"],
    ),
    (
        "dp 2, ZeRO 3",
        2,
        &["plan.tp=1", "plan.pp=1", "plan.zero=3"],
    ),
    ("tp 2 x pp 2", 4, &["plan.tp=2", "plan.pp=2"]),
];

/// Measures the machine, runs every placement and prints how far it is from its plan.
///
/// # Errors
/// Something could not be built or run.
pub fn run() -> Result<(), Failure> {
    build()?;
    let program = places::binaries("release").join("pleach");
    finish(
        Command::new(program)
            .arg("calibrate")
            .stdin(Stdio::null())
            .stdout(Stdio::null()),
    )?;
    println!(
        "\nplan against run after `pleach calibrate`, {STEPS} steps of each placement of the quickstart"
    );
    println!(
        "  {:<28}{:>10}{:>10}{:>8}{:>12}{:>10}{:>8}",
        "", "step, ms", "measured", "off", "peak, MiB", "measured", "off"
    );
    let mut off = [const { Times(Vec::new()) }; 2];
    for (name, ranks, pins) in PLACEMENTS {
        let [step, peak] = compare(ranks, pins)?;
        for (pair, off) in [step, peak].iter().zip(&mut off) {
            off.0.push((pair.planned / pair.measured - 1.0).abs());
        }
        println!(
            "  {name:<28}{:>10.0}{:>10.0}{:>7.0}%{:>12.0}{:>10.0}{:>7.1}%",
            step.planned * 1e3,
            step.measured * 1e3,
            step.off(),
            peak.planned / 1048576.0,
            peak.measured / 1048576.0,
            peak.off()
        );
    }
    let [step, peak] = off.map(|times| times.median() * 100.0);
    println!(
        "  median {step:.0} % of the step (goal 15), {peak:.1} % of the process's peak (goal 5)"
    );
    Ok(())
}

/// A figure of a plan and of its run.
#[derive(Clone, Copy)]
struct Pair {
    planned: f64,
    measured: f64,
}

impl Pair {
    /// How far the plan is from the run, in percent of the run.
    fn off(self) -> f64 {
        (self.planned / self.measured - 1.0) * 100.0
    }
}

/// Step in seconds, and the peak in bytes of the rank that is furthest off.
fn compare(ranks: u32, pins: &[&str]) -> Result<[Pair; 2], Failure> {
    let home = fresh("bench-prediction")?;
    let count = STEPS.to_string();
    let mut command = pleach(
        &home,
        &[
            "run",
            "--yes",
            "--quiet",
            "--no-progress",
            "--steps",
            &count,
        ],
    );
    let ranks = format!("cluster.gpus_per_node={ranks}");
    for setting in pins.iter().copied().chain([&*ranks]) {
        command.args(["--set", setting]);
    }
    finish(&mut command)?;
    let run = only_run(&home)?;
    let plan = shape::read(&run.join("plan.json"))?;
    let prediction = &plan["prediction"];
    let figure = |value: &Value| {
        value
            .as_f64()
            .ok_or_else(|| Failure::new("the plan predicts nothing"))
    };
    let step = Pair {
        planned: figure(&prediction["step_ps"])? * 1e-12,
        measured: Times(steps(&run, "seconds").into_iter().skip(WARM_UP).collect()).median(),
    };
    Ok([step, peak(&run, &plan)?])
}

/// The peak of the rank whose plan is furthest off.
fn peak(run: &Path, plan: &Value) -> Result<Pair, Failure> {
    let width = figure(plan, "dp") * figure(plan, "tp");
    let folder = run.join("memory");
    let mut worst: Option<Pair> = None;
    for rank in 0.. {
        let path = folder.join(format!("rank-{rank}.json"));
        if !path.exists() {
            break;
        }
        let text =
            fs::read_to_string(&path).doing(|| format!("could not read {}", path.display()))?;
        let usage: Value = serde_json::from_str(&text)
            .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        let stage = rank / width;
        let role = &plan["prediction"]["roles"][stage];
        let bytes = |name: &str| role[name].as_f64().unwrap_or(f64::NAN);
        let pair = Pair {
            planned: bytes("allocated_peak") + bytes("overhead"),
            measured: usage["rss_peak"].as_f64().unwrap_or(f64::NAN),
        };
        if worst.is_none_or(|known| pair.off().abs() > known.off().abs()) {
            worst = Some(pair);
        }
    }
    worst.ok_or_else(|| Failure::new(format!("{} says nothing of memory", folder.display())))
}

/// Ranks on an axis.
fn figure(plan: &Value, axis: &str) -> usize {
    plan["mesh"][axis].as_u64().unwrap_or(1) as usize
}
