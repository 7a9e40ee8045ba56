//! One rank of this machine against the same model in PyTorch, eager and compiled: five shapes, in alternation.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::{Times, build, pleach, shape};
use crate::demo::{fresh, only_run, steps};
use crate::process::{Failure, capture, run as finish};
use crate::{places, setup};

const TWIN: &str = "tests/python/eager_neox.py";

/// Runs of each contestant and shape.
const RUNS: usize = 2;
/// Steps of a run; the first ones are not counted.
const STEPS: usize = 14;
const WARM_UP: usize = 4;

/// What a shape is called, and what makes it of the quickstart's model.
type Shape = (&'static str, &'static [&'static str]);

const SHAPES: [Shape; 5] = [
    ("6 x 320, 256 tokens", &[]),
    (
        "2 x 768, 256 tokens",
        &["model.layers=2", "model.hidden=768", "model.heads=12"],
    ),
    (
        "16 x 128, 256 tokens",
        &["model.layers=16", "model.hidden=128", "model.heads=4"],
    ),
    (
        "4 x 256, 1024 tokens",
        &[
            "model.layers=4",
            "model.hidden=256",
            "model.context=1024 tokens",
            "train.global_batch=4 sequences",
            "plan.micro_batch=1 sequences",
        ],
    ),
    (
        "4 x 256, 8192 rows of vocabulary",
        &["model.layers=4", "model.hidden=256", "model.vocab=8192"],
    ),
];

/// Trains every shape with every contestant and prints ratios.
///
/// # Errors
/// Something could not be built or run.
pub fn run() -> Result<(), Failure> {
    let python = match setup::python::ensure() {
        Ok(python) => python,
        Err(why) => {
            println!("training beside PyTorch: skipped: {why}");
            return Ok(());
        }
    };
    build()?;
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    println!(
        "\ntraining on one rank with {threads} threads, {RUNS} runs of {STEPS} steps of each in alternation, medians in tokens/s"
    );
    println!(
        "  {:<34}{:>8}{:>8}{:>10}   ratio to eager (goal 1.10)   to compiled",
        "layers x width", "pleach", "eager", "compiled"
    );
    for (name, settings) in SHAPES {
        let all = contest(&python, settings, threads)?;
        let [ours, eager, compiled] = &all.times;
        let speed = |times: &Times| all.tokens / times.median();
        println!(
            "  {name:<34}{:>8.0}{:>8.0}{:>10.0}   {:<29.2}{:.2}",
            speed(ours),
            speed(eager),
            speed(compiled),
            eager.median() / ours.median(),
            compiled.median() / ours.median()
        );
    }
    Ok(())
}

/// What the contestants took for the steps of a shape.
struct Contest {
    /// Ours, eager, compiled.
    times: [Times; 3],
    /// Tokens of a step.
    tokens: f64,
}

fn contest(python: &Path, settings: &[&str], threads: usize) -> Result<Contest, Failure> {
    let mut times = [const { Times(Vec::new()) }; 3];
    let mut tokens = 0.0;
    for round in 0..RUNS {
        let run = train(round, settings, threads)?;
        let plan = shape::read(&run.join("plan.json"))?;
        tokens = shape::tokens_of_step(&plan)?;
        let mut twin = shape::of(&plan, threads, STEPS)?;
        times[0]
            .0
            .extend(steps(&run, "seconds").into_iter().skip(WARM_UP));
        for (index, compiled) in [(1, false), (2, true)] {
            twin["compile"] = json!(compiled);
            let seconds = train_twin(python, &twin)?;
            times[index].0.extend(seconds.into_iter().skip(WARM_UP));
        }
    }
    Ok(Contest { times, tokens })
}

fn train(round: usize, settings: &[&str], threads: usize) -> Result<PathBuf, Failure> {
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
    let alone = [
        "cluster.gpus_per_node=1",
        "plan.tp=1",
        "plan.pp=1",
        "plan.dp=1",
    ];
    for setting in alone.iter().chain(settings) {
        command.args(["--set", setting]);
    }
    finish(command.env("OMP_NUM_THREADS", threads.to_string()))?;
    only_run(&home)
}

fn train_twin(python: &Path, shape: &Value) -> Result<Vec<f64>, Failure> {
    let text = capture(
        Command::new(python)
            .arg(places::root().join(TWIN))
            .arg(shape.to_string()),
    )?;
    let answer: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::new(format!("{TWIN} printed no JSON: {error}")))?;
    let seconds = answer["seconds"]
        .as_array()
        .map(|all| all.iter().filter_map(Value::as_f64).collect());
    seconds.ok_or_else(|| Failure::new(format!("{TWIN} printed no seconds")))
}
