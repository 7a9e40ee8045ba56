//! Sweeps on the command line: counted by `check`, planned by `sweep`, one run by its name.

use std::fs;

use crate::support::{run, stderr, stdout};
use serde_json::Value;

const SPEC: &str = r#"
import "presets/clusters.pleach"
import "presets/pile.pleach"

experiment start {
  data  = the_pile
  model = transformer { heads = 8, context = 256 tokens, vocab = 50_304 }
  train {
    steps        = 100 steps
    global_batch = 64 sequences
    lr           = cosine { peak = 1e-3, warmup = 10 steps }
  }
  plan { tp = 2, pp = 2, micro_batch = 8, zero = 1 }
}

sweep suite extends start {
  size in table {
    name  | model.layers | model.hidden
    small | 4            | 512
    wide  | 4            | 1024
  }
  data in [the_pile, the_pile_deduped]
}
"#;

/// The setting that gives it machines.
const MACHINES: &str = "cluster=a100_40g { nodes = 1, price = 2 usd/hour }";

/// The same machines, known by their data sheet alone.
const SHEET: &str = "cluster=h200_141g { nodes = 1 }";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("the test's own files work");
    fs::write(folder.path().join("suite.pleach"), SPEC).expect("the test's own files work");
    folder
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn check_counts_the_runs_and_needs_no_machines() {
    let folder = folder();
    let output = run(folder.path(), &["check", "suite.pleach"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(
        stderr(&output).trim(),
        "suite.pleach: 4 runs of `suite`, no problems"
    );
}

#[test]
fn planning_says_which_machines_would_do_and_they_do() {
    let folder = folder();
    let line = [
        "plan",
        "suite.pleach",
        "--experiment",
        "suite/wide-the_pile",
    ];
    let output = run(folder.path(), &line);
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output).replace("\n        ", " ");
    assert!(told.contains("pleach::cluster::missing"), "{told}");
    let set = told
        .split("--set '")
        .nth(1)
        .and_then(|rest| rest.split('\'').next());
    let line = [&line[..], &["--set", set.expect("a setting is offered")]].concat();
    let output = run(folder.path(), &line);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("suite/wide-the_pile on 1 x 8 a100_80g"));
}

#[test]
fn every_run_has_a_line_and_all_of_them_a_total() {
    let folder = folder();
    let output = run(folder.path(), &["sweep", "suite.pleach", "--set", MACHINES]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "suite: 4 runs");
    for (line, name) in [
        (3, "small-the_pile "),
        (4, "small-the_pile_deduped "),
        (6, "wide-the_pile_deduped "),
        (7, "total "),
    ] {
        assert!(lines[line].starts_with(name), "{text}");
    }
    assert!(
        lines.iter().all(|line| line.chars().count() <= 80),
        "{text}"
    );

    let output = run(
        folder.path(),
        &["sweep", "suite.pleach", "--set", MACHINES, "--json"],
    );
    let answer = json(&stdout(&output));
    let sweep = &answer["sweeps"][0];
    let runs = sweep["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 4);
    let sum = |field: &str| -> f64 {
        runs.iter()
            .map(|run| run["run"][field].as_f64().unwrap())
            .sum()
    };
    let total = |field: &str| sweep["total"][field].as_f64().unwrap();
    assert!((sum("gpu_hours") - total("gpu_hours")).abs() < 1e-9);
    assert!((sum("cost_usd") - total("cost_usd")).abs() < 1e-9);
    assert!((total("cost_usd") - 2.0 * total("gpu_hours")).abs() < 1e-9);

    let line = ["plan", "suite.pleach", "--json", "--set", MACHINES];
    let line = [&line[..], &["--experiment", "suite/wide-the_pile"]].concat();
    let alone = json(&stdout(&run(folder.path(), &line)));
    for field in ["experiment", "placement", "time", "memory", "run"] {
        assert_eq!(alone[field], runs[2][field], "{field}");
    }
}

#[test]
fn machines_without_a_table_are_planned_from_their_data_sheet_and_it_is_said() {
    let folder = folder();
    let line = [
        "plan",
        "suite.pleach",
        "--experiment",
        "suite/wide-the_pile",
    ];
    let plan = |set: &str| {
        run(
            folder.path(),
            &[&line[..], &["--json", "--set", set]].concat(),
        )
    };
    let report = json(&stdout(&plan(SHEET)));
    let assumptions = report["assumptions"].to_string();
    assert!(assumptions.contains("data sheet only"), "{assumptions}");
    assert!(
        assumptions.contains("for held-out published runs"),
        "{assumptions}"
    );
    let bare = "cluster=h200_141g { nodes = 2, inter_node = 400 Gbit/s, device = \"mine\" }";
    assert_eq!(plan(bare).status.code(), Some(0));
    let unknown = "cluster=a100_40g { nodes = 1, device = \"mine\" }";
    let output = plan(unknown);
    assert_eq!(output.status.code(), Some(1));
    let told = json(&stderr(&output)).to_string();
    assert!(told.contains("`cluster` says no bandwidth"), "{told}");
}

#[test]
fn a_run_that_fits_nowhere_is_told_beside_the_others() {
    let folder = folder();
    let small = "cluster=a100_40g { nodes = 1, memory = 3440 MiB }";
    let output = run(folder.path(), &["sweep", "suite.pleach", "--set", small]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("\nwide-the_pile: does not fit"), "{text}");
    assert!(!text.contains("\nsmall-the_pile: does not fit"), "{text}");
}

#[test]
fn a_sweep_too_large_says_how_much_it_would_take() {
    let folder = folder();
    let many = SPEC.replace("data in", "seed in 1..1000\n  data in");
    fs::write(folder.path().join("many.pleach"), many).unwrap();
    let output = run(folder.path(), &["sweep", "many.pleach", "--set", MACHINES]);
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    assert!(told.contains("this sweep is 4000 runs, about "), "{told}");
    assert!(told.contains("`limit = 4000 runs`"), "{told}");
}

#[test]
fn a_file_without_sweeps_says_so() {
    let folder = folder();
    let alone = SPEC.split("sweep suite").next().unwrap();
    fs::write(folder.path().join("alone.pleach"), alone).unwrap();
    let output = run(folder.path(), &["sweep", "alone.pleach"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("pleach::sweep::none"));
}
