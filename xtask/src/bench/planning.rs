//! Searches as cold processes: the largest models on the most GPUs, everything open, and the short question that `fit` answers.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::Times;
use crate::demo::fresh;
use crate::places;
use crate::process::{Doing, Failure, capture, cargo, run as finish};
use crate::processes::waited;

/// Cold processes of each search.
const RUNS: usize = 5;

/// A search: its name, the model, the machines, sequences of a step.
const SEARCHES: [(&str, &str, &str, u64); 3] = [
    (
        "gpt3_175b on 4,096 A100s",
        "gpt3_175b { vocab = 51_200 }",
        "a100_80g { nodes = 512 }",
        1536,
    ),
    (
        "the same on 8 to 4,096",
        "gpt3_175b { vocab = 51_200 }",
        "a100_80g { nodes in 1..512 }",
        1536,
    ),
    (
        "llama3_405b on 16,384 H100s",
        "llama3_405b",
        "h100_80g { nodes = 2048 }",
        16_384,
    ),
];

/// Milliseconds and MiB that each of them may take.
const GOAL: [f64; 2] = [3000.0, 500.0];

/// Measures all of them.
///
/// # Errors
/// Something could not be run.
pub fn run() -> Result<(), Failure> {
    finish(&mut cargo([
        "build",
        "--quiet",
        "--release",
        "--package",
        "pleach",
    ]))?;
    println!("\nplanning, {RUNS} cold processes of each");
    let folder = fresh("bench-planning")?;
    for (name, model, machines, batch) in SEARCHES {
        let file = folder.join("search.pleach");
        let text = spec(model, machines, batch);
        fs::write(&file, text).doing(|| format!("could not write {}", file.display()))?;
        measured(name, &["plan", &file.to_string_lossy()], GOAL)?;
        counted(&file)?;
    }
    let example = places::root().join("examples/neox_20b.pleach");
    let example = example.to_string_lossy();
    measured("examples/neox_20b", &["plan", &example], [150.0, GOAL[1]])?;
    let question = ["fit", "llama_7b", "--on", "2 x 8 h100_80g"];
    measured("fit llama_7b", &question, [200.0, GOAL[1]])
}

fn spec(model: &str, machines: &str, batch: u64) -> String {
    format!(
        "import \"presets/models.pleach\"\nimport \"presets/clusters.pleach\"\n\
         dataset none_yet {{ source = \"cargo:dependencies\", tokenizer = \"hf:none\" }}\n\
         experiment search {{\n  model = {model}\n  data = none_yet\n  cluster = {machines}\n  \
         train {{ steps = 1000 steps, global_batch = {batch} sequences, lr = cosine {{ peak = 1e-4 }} }}\n}}\n"
    )
}

fn pleach(arguments: &[&str]) -> Command {
    let mut command = Command::new(places::binaries("release").join("pleach"));
    command.current_dir(places::root()).args(arguments);
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command
}

/// Wall time and peak memory of cold processes.
fn measured(name: &str, arguments: &[&str], [goal, room]: [f64; 2]) -> Result<(), Failure> {
    let (mut times, mut peak) = (Times(Vec::new()), 0.0f64);
    for _ in 0..RUNS {
        let begin = Instant::now();
        let kibibytes = waited(pleach(arguments).stdout(Stdio::null()))?;
        times.0.push(begin.elapsed().as_secs_f64() * 1e3);
        peak = peak.max(kibibytes as f64 / 1024.0);
    }
    let (median, [low, high]) = (times.median(), times.range());
    println!(
        "  {name:<28} median {median:6.0} ms   ({low:.0} to {high:.0}; goal {goal:.0} ms)   {peak:4.0} MiB (goal {room:.0})"
    );
    Ok(())
}

/// How much a search looked at.
fn counted(file: &Path) -> Result<(), Failure> {
    let file = file.to_string_lossy();
    let text = capture(&mut pleach(&["plan", &file, "--json"]))?;
    let told: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| Failure::new(format!("no JSON: {error}")))?;
    let count = |what: &str| told["search"][what].as_u64().unwrap_or(0);
    println!(
        "    {} placements, {} priced, {} simulated",
        count("candidates"),
        count("priced"),
        count("simulated")
    );
    Ok(())
}
