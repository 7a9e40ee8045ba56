//! What an experiment is, told by the program: as it stands, what differs from another, its hashes, and what it rests on.

use std::path::Path;

use serde_json::Value;

use crate::support::{run, stderr, stdout};

const PARTS: &str = "model tiny extends transformer { layers = 2, hidden = 64, heads = 4, vocab = 256, context = 128 tokens }\n";

const SPEC: &str = r#"import "presets/clusters.pleach"
import "parts.pleach"

dataset words {
  source    = "cargo:dependencies"
  tokenizer = "bytes"
}

experiment one {
  model = tiny { hidden = 32 * heads }
  data  = words
  train {
    steps        = 10 steps
    global_batch = 8 sequences
    optimizer    = adamw
    lr           = cosine { peak = 1e-3 }
    precision    = fp32
  }
  cluster = this_machine { gpus_per_node = 2 }
}

experiment two extends one {
  train.lr.peak = 2e-3
  plan.tp       = 2
}
"#;

const CARGO_LOCK: &str = "version = 4\n
[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+https://x\"\nchecksum = \"aa\"\n
[[package]]\nname = \"b\"\nversion = \"2.0.0\"\nsource = \"registry+https://x\"\nchecksum = \"bb\"\n
[[package]]\nname = \"own\"\nversion = \"0.1.0\"\n";

/// Message 30 of the list of intended texts, and its like about an import.
const MOVED: &str = r#"pleach::lock::import

  × `parts.pleach` is not the file this lockfile knows
   ╭─[spec.pleach:2:8]
 1 │ import "presets/clusters.pleach"
 2 │ import "parts.pleach"
   ·        ───────┬──────
   ·               ╰── locked 9ca7…, found 80fa…
 3 │ 
   ╰────
  help: restore it, or accept it: `pleach lock spec.pleach parts.pleach`

pleach::lock::data

  × `words` is not the data this lockfile knows
   ╭─[spec.pleach:5:15]
 4 │ dataset words {
 5 │   source    = "cargo:dependencies"
   ·               ──────────┬─────────
   ·                         ╰─┤ locked 6be3…, found 9bd3…; 1 of 2 packages
   ·                           │ differ
 6 │   tokenizer = "bytes"
   ╰────
  help: restore it, or accept it: `pleach lock spec.pleach words`
"#;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("the test's own files work");
    for (name, text) in [
        ("spec.pleach", SPEC),
        ("parts.pleach", PARTS),
        ("Cargo.lock", CARGO_LOCK),
    ] {
        write(folder.path(), name, text);
    }
    folder
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("the test's own files work");
}

fn json(folder: &Path, arguments: &[&str]) -> Value {
    let output = run(folder, &[arguments, &["--json"]].concat());
    serde_json::from_str(&stdout(&output))
        .unwrap_or_else(|error| panic!("{error}: {}", stderr(&output)))
}

#[test]
fn a_resolved_spec_is_the_same_experiment_without_its_parts() {
    let folder = folder();
    let folder = folder.path();
    let text = stdout(&run(
        folder,
        &["show", "spec.pleach", "--experiment", "two", "--resolved"],
    ));
    assert!(
        !text.contains("import") && text.contains("hidden    = 128"),
        "{text}"
    );
    std::fs::create_dir(folder.join("alone")).unwrap();
    write(folder, "alone/spec.pleach", &text);
    let whole = json(folder, &["hash", "spec.pleach", "--experiment", "two"]);
    let alone = json(folder, &["hash", "alone/spec.pleach"]);
    assert_eq!(whole, alone);
    let formatted = run(folder, &["fmt", "--check", "alone/spec.pleach"]);
    assert_eq!(formatted.status.code(), Some(0), "{}", stdout(&formatted));
    let shown = json(folder, &["show", "alone/spec.pleach"]);
    assert_eq!(shown["spec"], format!("{}\n", text.trim_end()));
    assert_eq!(shown["values"]["model.hidden"]["value"], "128");
}

#[test]
fn shown_values_stand_beside_their_origins() {
    let folder = folder();
    let arguments = [
        "show",
        "spec.pleach",
        "--experiment",
        "two",
        "--set",
        "train.clip=2",
    ];
    let text = stdout(&run(folder.path(), &arguments));
    let line = |name: &str| {
        let mut lines = text.lines().map(str::trim);
        lines
            .find(|line| line.starts_with(name))
            .unwrap_or_else(|| panic!("{name}\n{text}"))
            .to_owned()
    };
    assert!(
        line("hidden ").ends_with("# base, spec.pleach:10"),
        "{}",
        line("hidden ")
    );
    assert!(
        line("heads ").ends_with("# base, parts.pleach:1"),
        "{}",
        line("heads ")
    );
    assert!(
        line("clip ").ends_with("# command line: --set train.clip=2"),
        "{}",
        line("clip ")
    );
    assert!(
        line("head_dim ").ends_with("# default"),
        "{}",
        line("head_dim ")
    );
}

#[test]
fn a_difference_says_which_identity_it_belongs_to() {
    let folder = folder();
    let folder = folder.path();
    let found = json(folder, &["diff", "spec.pleach#one", "spec.pleach#two"]);
    assert_eq!(found["experiment"]["changed"], true);
    assert_eq!(found["placement"]["changed"], true);
    let change = |path: &str| {
        let mut all = found["changes"].as_array().unwrap().iter();
        all.find(|change| change["path"] == path)
            .unwrap_or_else(|| panic!("{path}: {found}"))
            .clone()
    };
    let peak = change("train.lr.peak");
    assert_eq!(
        (&peak["before"], &peak["after"]),
        (&"1e-3".into(), &"2e-3".into())
    );
    assert_eq!(
        (&peak["part"], &peak["follows"]),
        (&"experiment".into(), &false.into())
    );
    assert_eq!(change("train.lr.end")["follows"], true);
    assert_eq!(change("plan.tp")["part"], "placement");
    for side in ["before", "after"] {
        assert!(
            found[side]["time"]["step_s"].as_f64().unwrap() > 0.0,
            "{found}"
        );
    }
    let text = stdout(&run(
        folder,
        &["diff", "spec.pleach#one", "spec.pleach#two"],
    ));
    assert!(
        text.contains("experiment  another one") && text.contains("step time"),
        "{text}"
    );
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
}

#[test]
fn wording_is_no_difference_and_the_exit_code_says_so() {
    let folder = folder();
    let folder = folder.path();
    write(
        folder,
        "other.pleach",
        &SPEC
            .replace("32 * heads", "8 * 16")
            .replace("peak = 1e-3", "peak = 0.001"),
    );
    let code = |left: &str, right: &str| {
        run(folder, &["diff", left, right, "--detailed-exitcode"])
            .status
            .code()
    };
    assert_eq!(code("spec.pleach#one", "other.pleach#one"), Some(0));
    assert_eq!(code("spec.pleach#one", "other.pleach#two"), Some(3));
    assert_eq!(code("spec.pleach#one", "missing.pleach"), Some(1));
}

#[test]
fn what_a_spec_rests_on_is_locked_and_held() {
    let folder = folder();
    let folder = folder.path();
    let check = || run(folder, &["check", "spec.pleach"]);
    assert_eq!(check().status.code(), Some(0));
    let locked = json(folder, &["lock", "spec.pleach"]);
    let rests = locked["rests"].as_array().unwrap();
    assert_eq!(rests.len(), 3, "{locked}");
    assert!(rests.iter().all(|rest| rest["state"] == "new"), "{locked}");
    assert_eq!(
        (check().status.code(), stderr(&check())),
        (Some(0), "spec.pleach: no problems\n".into())
    );
    write(
        folder,
        "Cargo.lock",
        &CARGO_LOCK.replace("\"bb\"", "\"cc\""),
    );
    write(folder, "parts.pleach", &format!("{PARTS}# a word more\n"));
    let refused = check();
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(stderr(&refused), MOVED);
    let accepted = stdout(&run(folder, &["lock", "spec.pleach", "words"]));
    assert!(accepted.contains("1 of 2 packages differ"), "{accepted}");
    let text = stderr(&check());
    assert!(
        text.contains("lock::import") && !text.contains("lock::data"),
        "{text}"
    );
    run(folder, &["lock", "spec.pleach"]);
    assert_eq!(check().status.code(), Some(0));
}

#[test]
fn a_lock_that_cannot_be_read_or_kept_says_why() {
    let folder = folder();
    let folder = folder.path();
    let unknown = run(folder, &["lock", "spec.pleach", "wrds"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(
        stderr(&unknown).contains("data `words`"),
        "{}",
        stderr(&unknown)
    );
    write(folder, "pleach.lock", "version = 7\n");
    let newer = run(folder, &["check", "spec.pleach"]);
    assert_eq!(newer.status.code(), Some(1));
    assert!(stderr(&newer).contains("version 7"), "{}", stderr(&newer));
    write(folder, "pleach.lock", "version = 1\n");
    let unlocked = run(folder, &["check", "spec.pleach"]);
    assert_eq!(unlocked.status.code(), Some(0));
    assert!(
        stderr(&unlocked).contains("pleach::lock::unknown"),
        "{}",
        stderr(&unlocked)
    );
}
