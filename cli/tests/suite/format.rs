//! `pleach fmt`: what is written, printed, listed and left alone.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use crate::support::{pleach, run, stderr, stdout};

const UNTIDY: &str = "model a extends b{\nlayers=4 # few\n}\n";
const TIDY: &str = "model a extends b {\n  layers = 4                                 # few\n}\n";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let broken = "model a extends b {\n  layers: 4\n}\n";
    for (name, text) in [("untidy", UNTIDY), ("tidy", TIDY), ("broken", broken)] {
        let path = folder.path().join(format!("{name}.pleach"));
        fs::write(path, text).expect("a file can be written");
    }
    folder
}

#[test]
fn files_are_laid_out_in_place() {
    let folder = folder();
    let path = folder.path().join("untidy.pleach");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink("untidy.pleach", folder.path().join("link.pleach")).unwrap();
    let output = run(folder.path(), &["fmt", "link.pleach", "tidy.pleach"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).is_empty());
    assert_eq!(stderr(&output), "link.pleach: laid out\n");
    assert_eq!(fs::read_to_string(&path).unwrap(), TIDY);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(folder.path().join("link.pleach").is_symlink());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
}

#[test]
fn check_lists_what_would_change() {
    let folder = folder();
    let output = run(
        folder.path(),
        &["fmt", "--check", "tidy.pleach", "untidy.pleach"],
    );
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "untidy.pleach\n");
    assert_eq!(
        fs::read_to_string(folder.path().join("untidy.pleach")).unwrap(),
        UNTIDY
    );
    let output = run(folder.path(), &["fmt", "--check", "tidy.pleach"]);
    assert_eq!(
        (output.status.code(), stdout(&output).as_str()),
        (Some(0), "")
    );
}

#[test]
fn diff_shows_the_change_and_makes_none() {
    let folder = folder();
    let output = run(
        folder.path(),
        &["fmt", "--diff", "untidy.pleach", "tidy.pleach"],
    );
    assert_eq!(output.status.code(), Some(0));
    let expected = "--- untidy.pleach\n+++ untidy.pleach (formatted)\n@@ -1,3 +1,3 @@\n-model a extends b{\n-layers=4 # few\n\
        +model a extends b {\n+  layers = 4                                 # few\n }\n";
    assert_eq!(stdout(&output), expected);
    assert_eq!(
        fs::read_to_string(folder.path().join("untidy.pleach")).unwrap(),
        UNTIDY
    );
    let output = run(
        folder.path(),
        &["fmt", "--check", "--diff", "untidy.pleach"],
    );
    assert_eq!(
        (output.status.code(), stdout(&output).as_str()),
        (Some(1), expected)
    );
}

#[test]
fn what_cannot_be_read_is_told_and_the_rest_laid_out() {
    let folder = folder();
    let output = run(
        folder.path(),
        &["fmt", "broken.pleach", "none.pleach", "untidy.pleach"],
    );
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    assert!(
        told.contains("broken.pleach:2") && told.contains("none.pleach"),
        "{told}"
    );
    let text = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(text("untidy.pleach"), TIDY);
    assert!(text("broken.pleach").contains("layers: 4"));
}

#[test]
fn stdin_goes_to_stdout() {
    let folder = folder();
    let through = |flags: &[&str], text: &str| {
        let mut child = pleach(folder.path())
            .args(["fmt", "-"])
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        child.wait_with_output().unwrap()
    };
    let output = through(&[], UNTIDY);
    assert_eq!(
        (output.status.code(), stdout(&output).as_str()),
        (Some(0), TIDY)
    );
    let output = through(&[], "model {");
    assert_eq!(
        (output.status.code(), stdout(&output).as_str()),
        (Some(1), "")
    );
    assert!(stderr(&output).contains("<stdin>"), "{}", stderr(&output));
    let output = through(&["--json"], UNTIDY);
    let told: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(told["files"][0]["text"], TIDY);
    assert_eq!(told["files"][0]["changed"], true);
}
