//! Plan files that are run: verified against their spec where it is known, refused where they do not mean it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use pleach_plan::{Plan, json};
use serde_json::Value;

use crate::support::{stderr, stdout};
use crate::workers::{THREE_STEPS, command, quickstart, runs};

fn answer(folder: &Path, worker: &str, arguments: &[&str]) -> Output {
    let output = command(folder, worker, arguments).output();
    output.expect("the binary starts")
}

/// Plans the quickstart into a file.
fn planned(folder: &Path) -> PathBuf {
    let spec = quickstart();
    let spec = spec.to_str().expect("the path is text");
    let output = answer(folder, "", &["plan", spec, "--out", "plan.json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    folder.join("plan.json")
}

/// Changes what a plan computes, and gives it the hash of what it says now.
fn falsify(path: &Path) {
    let text = fs::read_to_string(path).expect("the plan is there");
    let other = text.replacen("\"eps\":0.00001", "\"eps\":0.0001", 1);
    assert_ne!(text, other, "a plan has layer norms");
    let mut plan: Plan = serde_json::from_str(&other).expect("it is still a plan");
    plan.hashes.placement = json::placement_hash(&plan);
    fs::write(path, json::write(&plan)).expect("the plan can be written");
}

fn code(output: &Output) -> String {
    let told: Value =
        serde_json::from_str(&stderr(output)).unwrap_or_else(|_| panic!("{}", stderr(output)));
    told[0]["code"]
        .as_str()
        .expect("a diagnostic has a code")
        .to_owned()
}

#[test]
fn a_plan_file_is_verified_against_its_spec_or_says_that_it_was_not() {
    let folder = tempfile::tempdir().unwrap();
    planned(folder.path());
    let spec = quickstart();
    let spec = spec.to_str().unwrap();
    let other = [
        "run",
        "plan.json",
        "--json",
        "--spec",
        spec,
        "--set",
        "train.steps=7 steps",
    ];
    let output = answer(folder.path(), "exit 0", &other);
    assert_eq!(
        (output.status.code(), code(&output).as_str()),
        (Some(1), "pleach::plan::other_spec")
    );

    let ends = format!("{THREE_STEPS}\necho '{{\"event\":\"done\",\"step\":3}}'");
    let said = answer(folder.path(), &ends, &["run", "plan.json", "--spec", spec]);
    assert_eq!(said.status.code(), Some(0), "{}", stderr(&said));
    assert!(!stderr(&said).contains("verified"), "{}", stderr(&said));
    assert!(stdout(&said).contains("loss"), "{}", stdout(&said));
    let run = &runs(folder.path())[0];
    let kept = fs::read_to_string(run.join("spec.pleach")).unwrap();
    assert!(kept.contains("experiment quickstart"), "{kept}");

    // The plan of a run names its data, so it needs no spec to find it.
    fs::rename(run.join("plan.json"), folder.path().join("plan.json")).unwrap();
    fs::remove_dir_all(folder.path().join("runs")).unwrap();
    let unsaid = answer(folder.path(), &ends, &["run", "plan.json"]);
    assert_eq!(unsaid.status.code(), Some(0), "{}", stderr(&unsaid));
    let told = stderr(&unsaid);
    assert_eq!(
        told.lines()
            .filter(|line| line.contains("not verified"))
            .count(),
        1,
        "{told}"
    );
}

#[test]
fn a_plan_that_does_not_mean_its_spec_is_refused_before_a_worker_starts() {
    let folder = tempfile::tempdir().unwrap();
    let plan = planned(folder.path());
    let spec = quickstart();
    let spec = spec.to_str().unwrap();
    falsify(&plan);
    let worker = "touch started; exit 0";
    let output = answer(
        folder.path(),
        worker,
        &["run", "plan.json", "--json", "--spec", spec],
    );
    assert_eq!(
        (output.status.code(), code(&output).as_str()),
        (Some(1), "pleach::plan::meaning")
    );
    assert!(runs(folder.path()).is_empty() && !folder.path().join("started").exists());
}

#[test]
fn a_runs_own_plan_is_held_against_the_spec_in_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let spec = quickstart();
    let breaking = format!("{THREE_STEPS}\nkill -9 $$");
    let begun = answer(
        folder.path(),
        &breaking,
        &[
            "run",
            spec.to_str().unwrap(),
            "--set",
            "train.steps=9 steps",
        ],
    );
    assert_eq!(begun.status.code(), Some(10), "{}", stderr(&begun));
    let run = &runs(folder.path())[0];
    let shown = run.to_str().unwrap();
    let set = answer(
        folder.path(),
        "exit 0",
        &["resume", shown, "--json", "--set", "train.steps=8 steps"],
    );
    assert_eq!(
        (set.status.code(), code(&set).as_str()),
        (Some(1), "pleach::run::other_experiment")
    );

    let ends = format!("{THREE_STEPS}\necho '{{\"event\":\"done\",\"step\":3}}'");
    let resumed = answer(folder.path(), &ends, &["resume", shown]);
    assert_eq!(resumed.status.code(), Some(0), "{}", stderr(&resumed));
    assert!(
        !stderr(&resumed).contains("not verified"),
        "{}",
        stderr(&resumed)
    );

    falsify(&run.join("plan.json"));
    let refused = answer(folder.path(), &ends, &["resume", shown, "--json"]);
    assert_eq!(
        (refused.status.code(), code(&refused).as_str()),
        (Some(1), "pleach::plan::meaning")
    );
}

#[test]
fn a_plan_goes_to_what_is_no_file_without_taking_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let spec = quickstart();
    let spec = spec.to_str().unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink("/dev/stdout", &link).unwrap();
    let output = answer(
        folder.path(),
        "",
        &["plan", spec, "-q", "--emit", "placement", "--out", "link"],
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stdout(&output).contains("\"roles\""),
        "the plan comes out: {}",
        stdout(&output)
    );
    assert!(link.symlink_metadata().unwrap().is_symlink());
}
