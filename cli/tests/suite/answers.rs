//! What `plan` answers beside the plan: why a field has its value, and why another one was not taken.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{run, stderr, stdout};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Plans the published run with more arguments.
fn plan(arguments: &[&str]) -> std::process::Output {
    let all = [&["plan", "examples/neox_20b.pleach"], arguments].concat();
    run(&root(), &all)
}

#[test]
fn why_tells_of_every_value_what_it_would_give() {
    let text = stdout(&plan(&["--why", "tp"]));
    let told = text.split("why tp = 2? ").nth(1).expect("it is answered");
    assert!(told.starts_with("`plan.tp`: 2 (override"), "{told}");
    let values = ["1  ", "4  ", "8  "].map(|value| format!("\n    {value}"));
    assert!(values.iter().all(|value| told.contains(value)), "{told}");
    assert!(
        told.contains("\n  > 2  ") && told.contains("chosen"),
        "{told}"
    );
    assert!(
        told.contains("slower: ") && told.contains("does not fit"),
        "{told}"
    );
    let heads = "tp 3, 6, 12, 24, 48, 96: 64 attention heads do not divide by it";
    assert!(told.contains(heads), "{told}");
    assert!(
        told.lines().all(|line| line.chars().count() <= 80),
        "{told}"
    );
}

#[test]
fn why_and_why_not_say_the_same_of_a_value() {
    let output = plan(&["--why", "tp", "--why-not", "tp = 8", "--json"]);
    let told: Value = serde_json::from_str(&stdout(&output)).expect("one object");
    let values = told["why"]["values"].as_array().expect("values");
    let eight = values.iter().find(|value| value["value"] == "8");
    assert_eq!(eight, Some(&told["why_not"]));
    let best = &told["why_not"]["best"];
    let ratio = best["step_ratio"].as_f64().expect("a ratio");
    let steps = [&best["time"], &told["time"]].map(|time| time["step_s"].as_f64().expect("a step"));
    assert!((ratio - steps[0] / steps[1]).abs() < 1e-9 && ratio > 1.0);
}

#[test]
fn a_question_that_is_none_names_the_fields() {
    for arguments in [["--why", "speed"], ["--why-not", "tp"]] {
        let output = plan(&arguments);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("pleach::plan::question"), "{told}");
        assert!(told.contains("micro_batch"), "{told}");
    }
}
