//! Searches as cold processes: the largest models on the most GPUs, everything open, and the short question that `fit` answers.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::Times;
use crate::demo::fresh;
use crate::places;
use crate::process::{Doing, Failure, capture, run as finish};

/// Cold processes of each search.
const RUNS: usize = 5;

/// A search: its name, the model, the machines, sequences of a step, and the milliseconds it may take.
const SEARCHES: [(&str, &str, &str, u64, f64); 3] = [
    (
        "gpt3_175b on 4,096 A100s",
        "gpt3_175b { vocab = 51_200 }",
        "a100_80g { nodes = 512 }",
        1536,
        3000.0,
    ),
    (
        "the same on 8 to 4,096",
        "gpt3_175b { vocab = 51_200 }",
        "a100_80g { nodes in 1..512 }",
        1536,
        3000.0,
    ),
    (
        "llama3_405b on 16,384 H100s",
        "llama3_405b",
        "h100_80g { nodes = 2048 }",
        2048,
        3000.0,
    ),
];

/// Measures all of them.
///
/// # Errors
/// Something could not be run.
pub fn planning() -> Result<(), Failure> {
    println!("\nplanning, {RUNS} cold processes of each");
    let folder = fresh("bench-planning")?;
    for (name, model, machines, batch, goal) in SEARCHES {
        let file = folder.join("search.pleach");
        let text = spec(model, machines, batch);
        fs::write(&file, text).doing(|| format!("could not write {}", file.display()))?;
        measured(name, &["plan", &file.to_string_lossy()], goal)?;
        counted(&file)?;
    }
    let example = places::root().join("examples/neox_20b.pleach");
    measured(
        "examples/neox_20b",
        &["plan", &example.to_string_lossy()],
        150.0,
    )?;
    let question = ["fit", "llama_7b", "--on", "2 x 8 h100_80g"];
    measured("fit llama_7b", &question, 200.0)
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
    command.stdin(Stdio::null());
    command
}

fn measured(name: &str, arguments: &[&str], goal: f64) -> Result<(), Failure> {
    let mut times = Times(Vec::new());
    for _ in 0..RUNS {
        let begin = Instant::now();
        finish(
            pleach(arguments)
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        )?;
        times.0.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    let (median, [low, high]) = (times.median(), times.range());
    println!("  {name:<28} median {median:6.0} ms   ({low:.0} to {high:.0}; goal {goal:.0} ms)");
    Ok(())
}

/// How much a search looked at, and whether pricing everything finds the same.
fn counted(file: &Path) -> Result<(), Failure> {
    let file = file.to_string_lossy();
    let told = |more: &[&str]| -> Result<serde_json::Value, Failure> {
        let arguments = [&["plan", &file, "--json"], more].concat();
        let text = capture(pleach(&arguments).stderr(Stdio::null()))?;
        serde_json::from_str(&text).map_err(|error| Failure::new(format!("no JSON: {error}")))
    };
    let (quick, whole) = (told(&[])?, told(&["--exhaustive"])?);
    let count = |of: &serde_json::Value, what: &str| of["search"][what].as_u64().unwrap_or(0);
    println!(
        "    {} placements, {} priced, {} simulated; with --exhaustive {} priced, {} simulated, the {} one",
        count(&quick, "candidates"),
        count(&quick, "priced"),
        count(&quick, "simulated"),
        count(&whole, "priced"),
        count(&whole, "simulated"),
        if quick["placement"] == whole["placement"] {
            "same"
        } else {
            "OTHER"
        },
    );
    Ok(())
}
