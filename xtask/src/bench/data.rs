//! The data pipeline beside what people use today: tokenization, reading samples, opening a large mix.
//!
//! In come text that the machine has (documentation, and sources of Rust packages) and the Python environment; out come ratios, both sides alternating in one run.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use super::{Times, corpus};
use crate::demo::fresh;
use crate::process::{Doing, Failure, capture, cargo, run as finish};
use crate::{places, setup};

/// Bytes of text.
const TEXT: u64 = 200_000_000;
/// Bytes of it that the tokenizer is trained on.
const TRAINED_ON: u64 = 20_000_000;
/// Ids of the tokenizer.
const VOCABULARY: &str = "32000";
/// Runs of each contestant.
const ROUNDS: usize = 3;
/// Tokens of a sample.
const SEQUENCE: &str = "2048";
/// Samples that are read.
const SAMPLES: &str = "20000";
/// Components of the large mix.
const COMPONENTS: &str = "1000";
/// Tokens of the large mix.
const LARGE: &str = "1000000000000";

/// Runs them.
///
/// # Errors
/// Something could not be built or run.
pub fn run() -> Result<(), Failure> {
    let packages = [
        "build",
        "--release",
        "--package",
        "pleach",
        "--package",
        "pleach-data",
    ];
    let targets = ["--bin", "pleach", "--example", "measure"];
    finish(&mut cargo([&packages[..], &targets[..]].concat()))?;
    let folder = fresh("bench-data")?;
    opening(&folder.join("mix"))?;
    let python = match setup::python::ensure() {
        Ok(python) => python,
        Err(why) => {
            println!("tokenization and reading beside Python: skipped: {why}");
            return Ok(());
        }
    };
    tokenizing(&folder, &python)?;
    reading(&folder, &python)?;
    fs::remove_dir_all(&folder).doing(|| format!("could not delete {}", folder.display()))
}

/// The JSON answer of a command: all that it prints, or the last line where others stand before.
fn answer(command: &mut Command) -> Result<Value, Failure> {
    let text = capture(command)?;
    let last = || serde_json::from_str(text.lines().last().unwrap_or_default());
    let found = serde_json::from_str(&text).or_else(|_| last());
    found.map_err(|error| Failure::new(format!("no JSON in {text}: {error}")))
}

/// Seconds that a contestant says of itself.
fn seconds(answer: &Value) -> Result<f64, Failure> {
    let found = answer["seconds"].as_f64();
    found.ok_or_else(|| Failure::new(format!("no seconds in {answer}")))
}

fn measure() -> Command {
    Command::new(places::binaries("release").join("examples/measure"))
}

fn script(python: &Path, name: &str) -> Command {
    let mut command = Command::new(python);
    command.arg(places::root().join("tests/python").join(name));
    command
}

/// A mix of very many components and tokens, opened as a worker does.
fn opening(folder: &Path) -> Result<(), Failure> {
    let text = folder.display().to_string();
    answer(measure().args(["sparse", &text, COMPONENTS, LARGE]))?;
    let (mut times, mut most, mut tokens) = (Times(Vec::new()), 0.0, 0.0);
    for _ in 0..ROUNDS {
        let found = answer(measure().args(["open", &text, SEQUENCE]))?;
        times.0.push(seconds(&found)?);
        most = found["peak_bytes"].as_f64().unwrap_or(f64::NAN).max(most);
        tokens = found["tokens"].as_f64().unwrap_or(f64::NAN);
    }
    fs::remove_dir_all(folder).doing(|| format!("could not delete {text}"))?;
    let (median, [low, high]) = (times.median(), times.range());
    println!(
        "\nopening a mix of {COMPONENTS} components with {tokens:.3e} tokens, in {ROUNDS} processes"
    );
    println!(
        "  files, order, its hash, the first sample: median {median:.2} s   ({low:.2} to {high:.2}; goal 1 s)"
    );
    println!("  largest memory {:.0} MB (goal 200 MB)", most / 1e6);
    Ok(())
}

/// From JSONL to token files against `datasets` with `tokenizers`, A B A B.
fn tokenizing(folder: &Path, python: &Path) -> Result<(), Failure> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = threads.to_string();
    let text = folder.join("text.jsonl");
    let (documents, bytes) = gather(&text, TEXT)?;
    gather(&folder.join("some.jsonl"), TRAINED_ON)?;
    let pleach = || {
        let mut command = Command::new(places::binaries("release").join("pleach"));
        command.current_dir(folder).args(["data"]);
        command
    };
    let training = ["tokenizer", "train", "some.jsonl", "--vocab", VOCABULARY];
    capture(pleach().args(training))?;
    let tokenizer = folder.join("tokenizer.json");
    println!(
        "\ntokenizing {:.1} MB of text in {documents} documents with {threads} threads and {VOCABULARY} ids, {ROUNDS} runs of each in alternation",
        bytes as f64 / 1e6
    );
    let (mut ours, mut theirs, mut alone) =
        (Times(Vec::new()), Times(Vec::new()), Times(Vec::new()));
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        let flags = [
            "--tokenizer",
            "tokenizer.json",
            "--out",
            "ours",
            "--force",
            "--threads",
            &threads,
        ];
        // What is there from the round before would be kept.
        for ending in ["bin", "idx", "json"] {
            let _ = fs::remove_file(folder.join("ours").with_extension(ending));
        }
        let made = answer(
            pleach()
                .args(["tokenize", "text.jsonl", "--json"])
                .args(flags),
        )?;
        ours.0.push(begin.elapsed().as_secs_f64());
        let cache = folder.join("arrow");
        let mut command = script(python, "tokenize_datasets.py");
        command
            .args(["processes", &threads])
            .args([&tokenizer, &text, &cache]);
        let found = answer(&mut command)?;
        theirs.0.push(seconds(&found)?);
        alone.0.push(found["map"].as_f64().unwrap_or(f64::NAN));
        if found["tokens"] != made["tokens"] {
            let what = format!("{} tokens here, {} there", made["tokens"], found["tokens"]);
            return Err(Failure::new(what));
        }
        fs::remove_dir_all(&cache).doing(|| format!("could not delete {}", cache.display()))?;
    }
    told(bytes as f64 / 1e6, [&ours, &theirs, &alone]);
    Ok(())
}

/// Prints the speeds of both sides over so many megabytes.
fn told(megabytes: f64, [ours, theirs, alone]: [&Times; 3]) {
    for (name, times) in [
        ("pleach data tokenize, a cold process", ours),
        ("datasets + tokenizers, reading and map", theirs),
        ("datasets + tokenizers, map alone", alone),
    ] {
        let [low, high] = times.range().map(|time| megabytes / time);
        let median = megabytes / times.median();
        println!("  {name:<40} median {median:6.2} MB/s   ({high:.2} to {low:.2})");
    }
    println!(
        "  ratio {:.2} (goal 1.5 or more); to map alone {:.2}",
        theirs.median() / ours.median(),
        alone.median() / ours.median()
    );
}

/// Samples of the tokens just made, in each one's own shuffled order, A B A B.
fn reading(folder: &Path, python: &Path) -> Result<(), Failure> {
    let tokens = folder.join("ours.bin");
    println!(
        "\nreading {SAMPLES} shuffled samples of {SEQUENCE} tokens, {ROUNDS} runs of each in alternation"
    );
    let (mut ours, mut theirs) = (Times(Vec::new()), Times(Vec::new()));
    for _ in 0..ROUNDS {
        let mut command = measure();
        command.arg("read").arg(&tokens).args([SEQUENCE, SAMPLES]);
        ours.0.push(seconds(&answer(&mut command)?)?);
        let mut command = script(python, "gpt_dataset.py");
        command.arg(folder.join("ours")).args([SEQUENCE, SAMPLES]);
        theirs
            .0
            .push(seconds(&answer(command.arg(folder.join("indices")))?)?);
    }
    let count: f64 = SAMPLES.parse().unwrap_or(f64::NAN);
    for (name, times) in [("pleach", &ours), ("megatron-core GPTDataset", &theirs)] {
        let [low, high] = times.range().map(|time| count / time);
        let median = count / times.median();
        println!("  {name:<24} median {median:9.0} samples/s   ({high:.0} to {low:.0})");
    }
    println!(
        "  ratio {:.1} (goal 5 or more)",
        theirs.median() / ours.median()
    );
    Ok(())
}

/// Writes text of this machine as JSONL until it is so many bytes; how many documents and bytes of text it is.
fn gather(path: &Path, bytes: u64) -> Result<(u64, u64), Failure> {
    let file = File::create(path).doing(|| format!("could not create {}", path.display()))?;
    let mut file = BufWriter::new(file);
    let (mut documents, mut written) = (0, 0);
    for source in corpus::files() {
        if written >= bytes {
            break;
        }
        let Some(text) = corpus::text(&source) else {
            continue;
        };
        writeln!(file, "{}", json!({ "text": text }))
            .doing(|| format!("could not write {}", path.display()))?;
        documents += 1;
        written += text.len() as u64;
    }
    file.flush()
        .doing(|| format!("could not write {}", path.display()))?;
    Ok((documents, written))
}
