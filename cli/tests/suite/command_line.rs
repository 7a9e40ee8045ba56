//! The command line as scripts see it: flags on both sides, streams, exit codes, no libtorch.

use std::process::Command;

use crate::support::{pleach, run, stderr, stdout};

#[test]
fn no_libtorch_is_linked() {
    let output = Command::new("ldd")
        .arg(env!("CARGO_BIN_EXE_pleach"))
        .output()
        .unwrap();
    // Names alone: an address may well spell one of those below.
    let names = stdout(&output);
    let names = names.lines().map(|line| line.split(" (0x").next().unwrap());
    let libraries = names.collect::<Vec<_>>().join("\n");
    assert!(
        libraries.contains("libc.so"),
        "ldd lists libraries: {libraries}"
    );
    for banned in ["torch", "c10", "gomp", "stdc++"] {
        assert!(
            !libraries.contains(banned),
            "{banned} is linked: {libraries}"
        );
    }
}

#[test]
fn help_is_data_and_fine() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("calibrate") && stderr(&output).is_empty());
    assert!(
        stdout(&output)
            .lines()
            .all(|line| line.chars().count() <= 80),
        "{}",
        stdout(&output)
    );
}

#[test]
fn a_wrong_line_is_the_readers_slip() {
    let folder = tempfile::tempdir().unwrap();
    for line in [
        &["plann", "x.pleach"][..],
        &["check"],
        &["check", "x", "--set", "nonsense"],
        &["--nothing", "runs"],
        &["calibrate", "--ranks", "0"],
        &["resume", "x", "--steps", "0"],
        &["calibrate", "--set", "train.steps=2"],
        &["runs", "--experiment", "one"],
        &["generate", "x", "--prompt", "a", "--temperature", "-1"],
    ] {
        let output = run(folder.path(), line);
        assert_eq!(output.status.code(), Some(1), "{line:?}");
        assert!(
            stdout(&output).is_empty() && !stderr(&output).is_empty(),
            "{line:?}"
        );
    }
}

#[test]
fn a_wrong_line_is_told_as_json_too() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["--json", "plann"]);
    let diagnostics: serde_json::Value = serde_json::from_str(&stderr(&output)).unwrap();
    assert_eq!(diagnostics[0]["code"], "pleach::command_line");
    assert_eq!(diagnostics[0]["severity"], "error");
}

#[test]
fn the_folder_flag_works_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("inner")).unwrap();
    for line in [
        ["-C", "inner", "check", "none.pleach"],
        ["check", "none.pleach", "-C", "inner"],
    ] {
        let output = run(folder.path(), &line);
        assert_eq!(output.status.code(), Some(1), "{line:?}");
        assert!(
            stderr(&output).contains("none.pleach"),
            "{}",
            stderr(&output)
        );
    }
    let output = run(folder.path(), &["-C", "nowhere", "runs"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn no_color_wins_over_force_color() {
    let folder = tempfile::tempdir().unwrap();
    let colored = |set: &[(&str, &str)], flags: &[&str]| {
        let output = pleach(folder.path())
            .args(flags)
            .args(["check", "none.pleach"])
            .envs(set.iter().copied())
            .output();
        stderr(&output.unwrap()).contains('\x1b')
    };
    assert!(!colored(&[], &[]));
    assert!(colored(&[("FORCE_COLOR", "1")], &[]));
    assert!(!colored(&[("FORCE_COLOR", "1"), ("NO_COLOR", "1")], &[]));
    assert!(colored(&[("NO_COLOR", "1")], &["--color", "always"]));
}

#[test]
fn doctor_names_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let output = pleach(folder.path())
        .args(["doctor", "--json"])
        .env("PLEACH_WORKER", "nowhere")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let findings: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    let worker = findings
        .as_array()
        .unwrap()
        .iter()
        .find(|finding| finding["what"] == "worker")
        .unwrap();
    assert_eq!(worker["fine"], false);
    assert!(worker["help"].as_str().unwrap().contains("PLEACH_WORKER"));
}

#[test]
fn every_shell_gets_its_script() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(folder.path(), &["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        let script = stdout(&output);
        assert!(
            ["calibrate", "fmt", "completions"]
                .iter()
                .all(|name| script.contains(name)),
            "{shell}: {script}"
        );
    }
    let output = run(folder.path(), &["completions", "cmd"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_schema_is_json() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["schema"]);
    assert_eq!(output.status.code(), Some(0));
    let schema: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(
        schema["sections"]["experiment"]["fields"][0]["name"],
        "about"
    );
    assert!(schema["units"].as_array().unwrap().len() > 40);
}

#[test]
fn an_answer_that_is_lost_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    let output = pleach(folder.path())
        .arg("runs")
        .arg("--json")
        .stdout(full.unwrap())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("pleach::file::answer"));

    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let read_enough = pleach(folder.path())
        .args(["runs", "--json"])
        .stdout(writer)
        .output();
    assert_eq!(read_enough.unwrap().status.code(), Some(0));
}
