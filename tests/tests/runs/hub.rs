//! Models of transformers go on here and come back: `pleach import hf` writes their spec, a run begins with their weights, `pleach export` writes what it made
//! of them. transformers is the judge of all three: the loss of the first step, the gradient of every tensor, the loss and the logits of what was exported.
//!
//! Rotation by transformers is exact to 32 bits whatever the type, and so are ALiBi's slopes; hence the bounds.

use std::path::{Path, PathBuf};
use std::process::Command;

use pleach_data::order::Phases;
use pleach_data::prepare::Prepared;
use pleach_plan::{Dtype, Plan};
use pleach_storage::checkpoint::Kind;
use pleach_storage::hf::{self, Decoder, Family, Writer};
use pleach_tests::have;
use pleach_tests::job::{self, Workspace, answer, succeed};
use serde_json::{Value, json};
use xtask::places;

use super::compare::Trained;
use super::export;

/// Two ranks share a model in three ways, and one has it alone.
const PLACEMENTS: [&[&str]; 4] = [
    &["cluster.gpus_per_node=2", "plan.tp=2", "plan.pp=1"],
    &["cluster.gpus_per_node=2", "plan.tp=1", "plan.pp=2"],
    &["cluster.gpus_per_node=2", "plan.dp=2", "plan.zero=3"],
    &["cluster.gpus_per_node=1"],
];

const COMMON: [&str; 10] = [
    "data.source=\"file:text.txt\"",
    "data.tokenizer=\"bytes\"",
    "train.steps=3",
    "train.global_batch=8 sequences",
    "train.lr=constant { peak = 1e-2 }",
    "train.clip=none",
    "train.precision=fp64",
    "plan.micro_batch=2",
    "checkpoints.every=1 steps",
    "checkpoints.keep=all",
];

/// Sequences of a step.
const BATCH: u64 = 8;
/// How far a loss, or a gradient over its own size, may be off.
const LOSS: f64 = 1e-7;
const GRADIENT: f64 = 1e-5;
/// How far a logit may be off, over the largest.
const LOGIT: f64 = 1e-6;
/// The share of a gradient that does not go into the first moment.
const KEPT: f64 = 0.9;

/// A folder with models of transformers and some text.
fn models(home: &Workspace, python: &Path) -> Vec<String> {
    let folder = home.path().join("models");
    let make = places::root().join("tests/python/hf_make.py");
    succeed(Command::new(python).arg(make).arg(&folder));
    let text: String = (0..4000u32)
        .map(|number| format!("{} and {}. ", number * 7919 % 1013, number))
        .collect();
    std::fs::write(home.path().join("text.txt"), text).expect("a file can be written");
    let entries = std::fs::read_dir(&folder).expect("a folder can be listed");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names.len(), 11);
    names
}

/// The spec of a model's import, written beside the models.
fn imported(home: &Workspace, name: &str) -> String {
    let mut command = home.pleach(["import", "hf", &format!("models/{name}")]);
    let answer = succeed(&mut command);
    assert!(
        answer.stdout.contains(&format!("file:models/{name}")),
        "{}",
        answer.stdout
    );
    assert!(!answer.stderr.contains("warning"), "{}", answer.stderr);
    let spec = format!("{name}.pleach");
    std::fs::write(home.path().join(&spec), answer.stdout).expect("a spec can be written");
    spec
}

fn settings(more: &[&'static str]) -> Vec<&'static str> {
    let all = COMMON.iter().chain(more);
    all.flat_map(|setting| ["--set", setting]).collect()
}

/// The tokens of the samples of a step, counted from 0.
fn samples(plan: &Plan, data: &Path, step: u64) -> Vec<Vec<i64>> {
    let prepared = Prepared::open(data).expect("prepared data");
    let orders = Phases::open(plan, &[prepared]).expect("an order");
    let order = orders.into_order(0).expect("one phase");
    let read = |sample| {
        let mut tokens = vec![0; plan.training.sequence as usize + 1];
        order.sample(sample, &mut tokens).expect("a sample");
        tokens
    };
    (step * BATCH..(step + 1) * BATCH).map(read).collect()
}

/// A run of two steps, exported, and its third step behind that.
struct Ran {
    name: String,
    trained: Trained,
    jobs: Vec<Value>,
}

fn run(
    home: &Workspace,
    worker: &Path,
    name: &str,
    placement: &[&'static str],
    number: usize,
) -> Ran {
    let away = home.path().join(format!("{name}-{number}"));
    std::fs::create_dir(&away).expect("a folder");
    let mut command = home.pleach(["run", "--yes", "--no-progress", "--steps", "2"]);
    command
        .arg(format!("{name}.pleach"))
        .args(settings(placement));
    let told = succeed(&mut command);
    assert!(
        told.stderr.contains("beginning with the weights of"),
        "{}",
        told.stderr
    );
    let folder = home.only_run();
    let out = away.join("exported");
    let mut export = home.pleach(["export", "--to", "hf"]);
    succeed(export.arg(&folder).arg("--out").arg(&out));
    let plan = job::plan(&folder);
    let data = job::data_from(&plan, home.path());
    let exported = samples(&plan, &data, 2);
    let logits = logits(home, worker, &folder, &exported, name, &away);
    succeed(home.pleach(["resume", "--no-progress"]).arg(&folder));
    let moved = away.join("run");
    std::fs::rename(home.path().join("runs"), &moved).expect("a folder can be moved");
    let folder = moved.join(folder.file_name().expect("a run's folder has a name"));
    let trained = Trained::read(&folder);
    let gradients = gradients(
        &trained,
        &plan,
        &home.path().join("models").join(name),
        &away,
    );
    let jobs = vec![
        json!({"model": home.path().join("models").join(name), "samples": samples(&plan, &data, 0), "gradients": gradients}),
        json!({"model": out, "samples": exported, "logits": logits}),
    ];
    Ran {
        name: format!("{name} {placement:?}"),
        trained,
        jobs,
    }
}

/// The logits of samples, all but the last id of each, by the newest checkpoint of a run.
fn logits(
    home: &Workspace,
    worker: &Path,
    run: &Path,
    samples: &[Vec<i64>],
    name: &str,
    away: &Path,
) -> PathBuf {
    let spec = home.path().join(format!("{name}.pleach"));
    let alone = export::plan_alone(home, &spec, &COMMON);
    let (tokens, out) = (away.join("tokens.json"), away.join("logits.safetensors"));
    let texts: Vec<&[i64]> = samples.iter().map(|ids| &ids[..ids.len() - 1]).collect();
    std::fs::write(&tokens, json!(texts).to_string()).expect("a file can be written");
    export::worker_logits(worker, &alone, run, &tokens, &out);
    out
}

/// The gradients of the first step under transformers' names and in its shapes.
fn gradients(trained: &Trained, plan: &Plan, model: &Path, away: &Path) -> PathBuf {
    let decoder = Decoder::of(plan).expect("a model");
    let config = hf::config(model).expect("a configuration");
    let family = config["model_type"].as_str().and_then(Family::called);
    let checkpoint = trained.checkpoint(1);
    let writer = Writer {
        family: family.expect("a known family"),
        model: &decoder,
        dtype: Dtype::F64,
        shard: u64::MAX,
    };
    let out = away.join("gradients");
    let written = writer.write(&out, |name| {
        let mut moment = checkpoint.logical(name, Kind::M)?;
        moment.iter_mut().for_each(|value| *value /= 1.0 - KEPT);
        Ok(moment)
    });
    written.expect("gradients can be written");
    out
}

/// Holds what transformers says of the jobs of all runs against what the runs say.
fn judge(home: &Workspace, python: &Path, runs: &[Ran]) {
    let jobs: Vec<&Value> = runs.iter().flat_map(|ran| &ran.jobs).collect();
    let file = home.path().join("jobs.json");
    std::fs::write(&file, json!(jobs).to_string()).expect("a file can be written");
    let step = places::root().join("tests/python/hf_step.py");
    let told = succeed(Command::new(python).arg(step).arg(&file));
    let answers: Vec<Value> = told
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(answers.len(), jobs.len());
    for (ran, answers) in runs.iter().zip(answers.chunks(2)) {
        let name = &ran.name;
        for (answer, step) in answers.iter().zip([0, 2]) {
            assert_eq!(answer["keys"], json!([]), "{name}: {answer}");
            assert_eq!(answer["dtype"], "torch.float64", "{name}");
            let theirs = answer["loss"].as_f64().expect("a loss");
            let ours = ran.trained.losses[step];
            let off = (ours - theirs).abs() / theirs;
            println!("{name}, step {}: off by {off:.1e}, {answer}", step + 1);
            assert!(off <= LOSS, "{name}: {ours} here, {theirs} there");
        }
        let worst = answers[0]["worst"].as_f64().expect("a number");
        assert!(worst > 0.0, "{name}: gradients were compared");
        assert!(worst <= GRADIENT, "{name}: {}", answers[0]);
        let logits = answers[1]["logits"].as_f64().expect("logits were compared");
        assert!(logits <= LOGIT, "{name}: {}", answers[1]);
    }
}

#[test]
fn a_run_begins_with_weights_of_transformers_and_its_model_goes_back() {
    let (Some(worker), Some(python)) = (have::worker(), have::python()) else {
        return;
    };
    let home = Workspace::new();
    let mut runs = Vec::new();
    for (number, name) in models(&home, &python).iter().enumerate() {
        imported(&home, name);
        // By its place falcon_7b gets no tp, which its single head of keys and values forbids.
        for turn in 0..2 {
            let placement = PLACEMENTS[(number + turn) % PLACEMENTS.len()];
            runs.push(run(&home, &worker, name, placement, turn));
        }
    }
    judge(&home, &python, &runs);
}

#[test]
fn weights_of_another_model_are_refused_by_name_before_anything_runs() {
    let (Some(_), Some(python)) = (have::worker(), have::python()) else {
        return;
    };
    let home = Workspace::new();
    models(&home, &python);
    imported(&home, "llama");
    let refused = |more: &[&'static str]| {
        let mut command = home.pleach(["run", "--yes", "--no-progress", "llama.pleach"]);
        let answer = answer(command.args(settings(more)));
        assert_eq!(answer.code, Some(1), "{}", answer.stderr);
        assert!(!home.path().join("runs").exists());
        answer.stderr
    };
    let eps = refused(&["model.norm=rmsnorm { eps = 1e-3 }", "model.layers=3"]);
    for part in [
        "pleach::weights::model",
        "layer.norm.RmsNorm.eps",
        "layers: 2 there, 3",
    ] {
        assert!(eps.contains(part), "{eps}");
    }
    let none = refused(&["model.weights=\"file:nowhere\""]);
    assert!(none.contains("pleach::weights::missing"), "{none}");
    let shard = home.path().join("models/llama/model.safetensors");
    let index = home
        .path()
        .join("models/llama/model.safetensors.index.json");
    let there = if shard.exists() { shard } else { index };
    std::fs::remove_file(there).expect("a file can be taken away");
    let gone = refused(&[]);
    assert!(gone.contains("pleach::weights::none"), "{gone}");
}
