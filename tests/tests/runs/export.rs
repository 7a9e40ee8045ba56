//! A trained model leaves the house: transformers loads the exported folder and gives the worker's logits.

use std::path::{Path, PathBuf};
use std::process::Command;

use pleach_storage::hf::Decoder;
use pleach_tests::have;
use pleach_tests::job::{QUICKSTART, SHORT, Workspace, answer, succeed};
use serde_json::Value;
use xtask::places;

use super::matrix::{BLOOM, FALCON, FP64, GPT2, LLAMA, NEOX, OPT, Row, all_settings};

const COMPARE: &str = "tests/python/hf_logits.py";

/// Texts of different lengths, as bytes, none longer than the short quickstart's 64 positions.
const TEXTS: [&str; 4] = [
    "fn main() {",
    "Licensed under the Apache License, Version 2.0",
    "# pleach\n\n",
    "x",
];

/// A plan of one rank for the same model: only a placement, so the checkpoint fits.
pub fn plan_alone(home: &Workspace, spec: &Path, settings: &[&str]) -> PathBuf {
    let out = home.path().join("alone.json");
    let alone = [
        "cluster.gpus_per_node=1",
        "plan.tp=1",
        "plan.pp=1",
        "plan.dp=1",
    ];
    let mut command = home.pleach(["plan"]);
    command.arg(spec).arg("--out").arg(&out);
    command.args(
        settings
            .iter()
            .chain(&alone)
            .flat_map(|setting| ["--set", setting]),
    );
    succeed(&mut command);
    out
}

/// What the newest checkpoint of a run makes of lists of ids, by a plan of one rank.
pub fn worker_logits(worker: &Path, plan: &Path, run: &Path, tokens: &Path, out: &Path) {
    let mut command = Command::new(worker);
    command
        .arg("forward")
        .arg("--plan")
        .arg(plan)
        .arg("--run")
        .arg(run);
    succeed(command.arg("--tokens").arg(tokens).arg("--out").arg(out));
}

/// What transformers read and computed is what the worker wrote and computed.
fn same_logits(report: &Value, precision: &str, bound: f64) {
    assert_eq!(
        report["keys"].as_array().map(Vec::len),
        Some(0),
        "every parameter has its place: {report}"
    );
    assert!(report["positions"].as_u64() > Some(60), "{report}");
    assert!(
        report["difference"]
            .as_f64()
            .is_some_and(|difference| difference <= bound),
        "{precision}: {report}"
    );
    assert_eq!(
        report["disagreements"].as_u64(),
        Some(0),
        "{precision}: {report}"
    );
}

#[test]
fn transformers_gives_the_same_logits() {
    let (Some(worker), Some(python)) = (have::worker(), have::python()) else {
        return;
    };
    let home = Workspace::new();
    // transformers computes rotary angles in fp32 whatever the model's type, so fp64 agrees to about 1e-7.
    for (precision, bound, cut) in [("fp64", 1e-6, "true"), ("fp32", 1e-5, "false")] {
        let away = home.beside();
        let precision = format!("train.precision={precision}");
        let settings = [&SHORT[..], &[&*precision]].concat();
        let cut = format!("plan.sequence_parallel={cut}");
        succeed(&mut away.run(
            QUICKSTART,
            &[&settings[..], &["plan.tp=2", "plan.pp=2", &cut]].concat(),
        ));
        let run = away.only_run();
        let place = |name: &str| away.path().join(name);
        succeed(
            away.pleach(["export", "--to", "hf", "--out", "model"])
                .arg(&run),
        );
        let texts: Vec<Vec<u32>> = TEXTS
            .iter()
            .map(|text| text.bytes().map(u32::from).collect())
            .collect();
        std::fs::write(
            place("tokens.json"),
            serde_json::to_string(&texts).expect("numbers are JSON"),
        )
        .expect("a file can be written");
        let alone = plan_alone(&away, &places::root().join(QUICKSTART), &settings);
        worker_logits(
            &worker,
            &alone,
            &run,
            &place("tokens.json"),
            &place("logits.safetensors"),
        );

        let mut compare = Command::new(&python);
        compare
            .arg(places::root().join(COMPARE))
            .args(["model", "tokens.json", "logits.safetensors"].map(place));
        let answer = succeed(&mut compare);
        println!("{precision}: {}", answer.stdout.trim());
        let report: Value =
            serde_json::from_str(&answer.stdout).expect("the comparison prints JSON");
        same_logits(&report, &precision, bound);
    }
}

/// The model that is read off a plan of a placement.
fn decoder(home: &Workspace, row: &Row, placement: &[&str]) -> Decoder {
    let out = home.path().join("plan.json");
    let mut command = home.pleach(["plan"]);
    command.arg(places::root().join(QUICKSTART));
    for setting in all_settings(row, placement, FP64) {
        command.arg("--set").arg(setting);
    }
    succeed(command.arg("--out").arg(&out));
    let text = std::fs::read_to_string(&out).expect("a plan was written");
    let plan = pleach_plan::json::read(&text).expect("a plan");
    Decoder::of(&plan).unwrap_or_else(|error| panic!("{placement:?}: {error}"))
}

#[test]
fn a_model_is_read_off_all_its_placements_alike() {
    let home = Workspace::new();
    for row in [NEOX, GPT2, LLAMA, BLOOM, FALCON, OPT] {
        let alone = decoder(&home, &row, &[]);
        let cut = ["tp=2", "sequence_parallel=true"];
        let heads_can_be_cut = alone.kv_heads > 1;
        let cut = heads_can_be_cut.then_some(&cut[..]);
        for placement in row.placements.iter().copied().chain(cut) {
            assert_eq!(decoder(&home, &row, placement), alone, "{placement:?}");
        }
    }
}

#[test]
fn an_earlier_step_is_exported_too() {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    let settings = all_settings(&NEOX, &[], "train.precision=fp32");
    let of_model = |setting: &&str| !setting.starts_with("checkpoints.");
    let settings = settings.iter().map(String::as_str).filter(of_model);
    let settings: Vec<&str> = settings.chain(["checkpoints.every=2 steps"]).collect();
    let trained = |steps: &str| {
        let away = home.beside();
        succeed(away.run(QUICKSTART, &settings).args(["--steps", steps]));
        away
    };
    let export = |of: &Workspace, out: &str, step: &[&str]| {
        let mut command = of.pleach(["export", "--to", "hf", "--out", out]);
        answer(command.args(step).arg(of.only_run()))
    };
    let (short, long) = (trained("2"), trained("4"));
    assert_eq!(export(&short, "newest", &[]).code, Some(0));
    let earlier = export(&long, "earlier", &["--step", "2"]);
    assert!(earlier.stdout.contains("after step 2"), "{earlier:?}");
    assert_eq!(export(&long, "newest", &[]).code, Some(0));
    let weights = |of: &Workspace, name: &str| {
        let file = of.path().join(name).join("model.safetensors");
        std::fs::read(file).expect("weights were written")
    };
    assert!(weights(&long, "earlier") == weights(&short, "newest"));
    assert!(weights(&long, "newest") != weights(&short, "newest"));
    let none = export(&long, "none", &["--step", "3"]);
    assert!(none.stderr.contains("the steps 2, 4"), "{}", none.stderr);
}
