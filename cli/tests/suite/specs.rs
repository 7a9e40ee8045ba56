//! Commands on specs: mistakes with their places, the promised JSON, plans as files; nothing is written that nobody asked for.

use std::fs;
use std::path::Path;

use crate::support::{pleach, run, stderr, stdout};
use serde_json::Value;

/// A small model on a cluster of GPUs, with few choices left: planned in an instant, also unoptimised.
const SPEC: &str = r#"
import "presets/clusters.pleach"
import "presets/pile.pleach"

experiment small {
  seed  = 1
  model = transformer { layers = 4, hidden = 512, heads = 8, context = 256 tokens, vocab = 50_304 }
  data  = the_pile
  train {
    steps        = 100 steps
    global_batch = 64 sequences
    precision    = bf16
    lr           = cosine { peak = 1e-3, warmup = 10 steps }
  }
  cluster = a100_40g { nodes = 1 }
  plan { tp = 2, pp = 2, micro_batch = 8, zero = 1 }
}
"#;

/// Fields of the object that `plan --json` prints, which scripts may rely on.
const PROMISED: &str = "
    schema experiment/name experiment/hash engine supported placement/hash placement/tp placement/pp placement/dp
    placement/cp placement/ep placement/vpp placement/sp placement/zero placement/recompute placement/micro_batch
    placement/micro_steps placement/schedule placement/stages model/parameters model/active_parameters
    cluster/gpus cluster/nodes cluster/gpu time/step_s time/compute_s time/bubble_s time/exposed_comm_s
    time/optimizer_s time/low_s time/high_s throughput/tokens_per_s throughput/tokens_per_s_per_gpu
    throughput/model_tflops_per_gpu throughput/hardware_tflops_per_gpu throughput/mfu memory/peak_bytes
    memory/low_bytes memory/high_bytes memory/allocated_bytes memory/capacity_bytes memory/fits
    memory/per_stage/0/parameters memory/per_stage/0/gradients memory/per_stage/0/optimizer
    memory/per_stage/0/activations memory/per_stage/0/buffers memory/per_stage/0/overhead memory/per_stage/0/peak
    run/steps run/tokens run/seconds run/gpu_hours run/cost_usd run/evaluation search/candidates search/feasible search/seconds
    alternatives rejected
";

fn folder(spec: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("the test's own files and processes work");
    fs::write(folder.path().join("spec.pleach"), spec)
        .expect("the test's own files and processes work");
    folder
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("the test's own files and processes work")
        .map(|entry| {
            entry
                .expect("the test's own files and processes work")
                .file_name()
                .into_string()
                .expect("the test's own files and processes work")
        })
        .collect();
    names.sort();
    names
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_right_spec_is_fine_and_silent_on_stdout() {
    let folder = folder(SPEC);
    let output = run(folder.path(), &["check", "spec.pleach"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).is_empty());
    assert!(
        stderr(&output).contains("spec.pleach: no problems"),
        "{}",
        stderr(&output)
    );
    let output = run(folder.path(), &["check", "spec.pleach", "--json"]);
    assert_eq!(json(&stdout(&output)), Value::Array(Vec::new()));
}

#[test]
fn all_mistakes_of_all_files_are_told_at_once() {
    let folder = folder(&SPEC.replace("heads = 8", "hedas = 8"));
    fs::write(
        folder.path().join("other.pleach"),
        SPEC.replace("100 steps", "100"),
    )
    .unwrap();
    let line = [
        "check",
        "spec.pleach",
        "other.pleach",
        "none.pleach",
        "--json",
    ];
    let output = run(folder.path(), &line);
    assert_eq!(output.status.code(), Some(1));
    let all = json(&stdout(&output));
    let codes: Vec<&str> = all
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["code"].as_str())
        .collect();
    for code in [
        "pleach::field::unknown",
        "pleach::unit::missing",
        "pleach::file::missing",
    ] {
        assert!(codes.contains(&code), "{code} in {codes:?}");
    }
    let unknown = all
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["code"] == "pleach::field::unknown")
        .unwrap();
    assert_eq!(unknown["labels"][0]["file"], "spec.pleach");
    assert_eq!(unknown["labels"][0]["line"], 7);
    assert!(unknown["help"].as_str().unwrap().contains("heads"));
}

#[test]
fn a_missing_file_suggests_its_neighbour() {
    let folder = folder(SPEC);
    let output = run(folder.path(), &["plan", "spce.pleach", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let errors = json(&stderr(&output));
    assert_eq!(errors[0]["code"], "pleach::file::missing");
    assert_eq!(errors[0]["help"], "did you mean `./spec.pleach`?");
}

#[test]
fn an_import_cannot_leave_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    fs::write(
        folder.path().join("secret.pleach"),
        "cluster secret { nodes = 1 }",
    )
    .unwrap();
    fs::write(
        inner.join("spec.pleach"),
        format!("import \"link.pleach\"\n{SPEC}"),
    )
    .unwrap();
    std::os::unix::fs::symlink(
        folder.path().join("secret.pleach"),
        inner.join("link.pleach"),
    )
    .unwrap();
    let output = run(&inner, &["check", "spec.pleach", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let errors = stdout(&output);
    assert!(
        errors.contains("leads out of the spec's folder"),
        "{errors}"
    );
}

#[test]
fn the_plan_object_keeps_its_promises() {
    let folder = folder(SPEC);
    let output = run(
        folder.path(),
        &["plan", "spec.pleach", "--json", "--top", "1"],
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let plan = json(&stdout(&output));
    for path in PROMISED.split_whitespace() {
        assert!(
            plan.pointer(&format!("/{path}")).is_some(),
            "{path} is missing"
        );
    }
    assert_eq!(plan["alternatives"].as_array().unwrap().len(), 1);
    assert_eq!(
        names(folder.path()),
        ["spec.pleach"],
        "planning writes nothing"
    );
}

#[test]
fn the_same_spec_gives_the_same_plan_file_and_a_set_value_another() {
    let folder = folder(SPEC);
    let write = |name: &str, more: &[&str]| {
        let output = run(
            folder.path(),
            &[&["plan", "spec.pleach", "--out", name], more].concat(),
        );
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        fs::read_to_string(folder.path().join(name)).unwrap()
    };
    let (one, again) = (write("one.json", &[]), write("again.json", &[]));
    assert_eq!(one, again);
    let other = write("other.json", &["--set", "train.steps=200 steps"]);
    assert_eq!(json(&other)["training"]["steps"], 200);
    assert_ne!(json(&one)["hashes"], json(&other)["hashes"]);
}

#[test]
fn what_does_not_fit_is_shown_and_refused() {
    let big = SPEC.replace(
        "layers = 4, hidden = 512, heads = 8",
        "layers = 80, hidden = 8192, heads = 64",
    );
    let big = big.replace("tp = 2, pp = 2, micro_batch = 8", "tp = 8, micro_batch = 1");
    let folder = folder(&big);
    let output = run(folder.path(), &["plan", "spec.pleach", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let plan = json(&stdout(&output));
    assert_eq!(plan["memory"]["fits"], false);
    assert!(plan["time"]["step_s"].as_f64().unwrap() > 0.0);
    let errors = json(&stderr(&output));
    assert_eq!(errors[0]["code"], "pleach::memory::too_large");
    let labels = errors[0]["labels"].as_array().unwrap();
    assert!(
        labels
            .iter()
            .any(|label| label["line"] == 15 && label["file"] == "spec.pleach"),
        "{labels:?}"
    );
    let help = errors[0]["help"].as_str().unwrap();
    let nodes = help
        .split("cluster.nodes = ")
        .nth(1)
        .unwrap()
        .trim_end_matches('`');
    let mended = run(
        folder.path(),
        &[
            "plan",
            "spec.pleach",
            "--set",
            &format!("cluster.nodes={nodes}"),
            "-q",
        ],
    );
    assert_eq!(mended.status.code(), Some(0), "the help works: {help}");
}

#[test]
fn a_trace_opens_as_chrome_events() {
    let folder = folder(SPEC);
    let output = run(
        folder.path(),
        &["plan", "spec.pleach", "--trace", "trace.json"],
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let trace = json(&fs::read_to_string(folder.path().join("trace.json")).unwrap());
    let spans = trace["traceEvents"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["ph"] == "X")
        .count();
    assert!(spans > 100, "{spans}");
}

#[test]
fn emitted_values_are_text() {
    let folder = folder(SPEC);
    for (what, part) in [
        ("graph", "block layer"),
        ("placement", "\"tp\""),
        ("program", "layer.forward"),
    ] {
        let output = run(folder.path(), &["plan", "spec.pleach", "--emit", what]);
        assert!(
            stdout(&output).contains(part),
            "{what}: {}",
            stdout(&output)
        );
    }
}

#[test]
fn a_plan_for_other_machines_is_not_run_here() {
    let folder = folder(SPEC);
    let output = run(folder.path(), &["run", "spec.pleach", "--yes", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json(&stderr(&output))[0]["code"], "pleach::run::elsewhere");
    assert_eq!(names(folder.path()), ["spec.pleach"]);
}

#[test]
fn an_edited_plan_is_refused() {
    let folder = folder(SPEC);
    run(
        folder.path(),
        &["plan", "spec.pleach", "--out", "plan.json"],
    );
    let path = folder.path().join("plan.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("\"steps\":100", "\"steps\":101", 1)).unwrap();
    let output = pleach(folder.path())
        .args(["run", "plan.json", "--json"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json(&stderr(&output))[0]["code"], "pleach::plan::edited");
    fs::write(&path, "{}").unwrap();
    let output = run(folder.path(), &["run", "plan.json", "--json"]);
    assert_eq!(json(&stderr(&output))[0]["code"], "pleach::plan::schema");
    assert_eq!(names(folder.path()), ["plan.json", "spec.pleach"]);
}

#[test]
fn values_explain_themselves() {
    let folder = folder(SPEC);
    let output = run(
        folder.path(),
        &[
            "explain",
            "spec.pleach",
            "model.hidden",
            "--set",
            "model.hidden=1024",
        ],
    );
    assert!(
        stdout(&output).contains("1,024") || stdout(&output).contains("1024"),
        "{}",
        stdout(&output)
    );
    assert!(stdout(&output).contains("--set"), "{}", stdout(&output));
    let output = run(folder.path(), &["explain", "spec.pleach", "model.hiden"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("`model.hidden`"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_run_folder_that_is_none_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for line in [
        &["resume", "nowhere"][..],
        &["export", "nowhere", "--to", "hf", "--out", "model"],
    ] {
        let output = run(folder.path(), line);
        assert_eq!(output.status.code(), Some(1), "{line:?}");
        assert!(stderr(&output).contains("nowhere"), "{}", stderr(&output));
    }
    let output = run(folder.path(), &["runs", "--json"]);
    assert_eq!(json(&stdout(&output)), Value::Array(Vec::new()));
    assert!(names(folder.path()).is_empty());
}
