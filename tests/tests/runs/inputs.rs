//! Bad input, end to end: each a clear error with code, place and help, the right exit code, and nothing written.

use std::fs;
use std::path::Path;
use std::process::Command;

use pleach_tests::have;
use pleach_tests::job::{self, Answer, QUICKSTART, SHORT, Workspace, answer, succeed};
use serde_json::Value;
use xtask::places;

/// One mistake in the quickstart: what is replaced by what, and what the message must say and point at.
struct Slip {
    name: &'static str,
    from: &'static str,
    to: &'static str,
    says: &'static [&'static str],
    at: &'static str,
}

const SLIPS: [Slip; 5] = [
    Slip {
        name: "unknown field",
        from: "    hidden    = 320",
        to: "    hidden_size = 320",
        says: &["hidden_size", "hidden"],
        at: "hidden_size",
    },
    Slip {
        name: "wrong dimension",
        from: "global_batch = 16 sequences",
        to: "global_batch = 40 GiB",
        says: &["global_batch", "memory"],
        at: "40 GiB",
    },
    Slip {
        name: "heads and tensor parallelism",
        from: "    tp          = 2 ",
        to: "    tp          = 3 ",
        says: &["8", "3"],
        at: "3",
    },
    Slip {
        name: "batch and micro-batch",
        from: "micro_batch = 2 sequences",
        to: "micro_batch = 3 sequences",
        says: &["16", "3"],
        at: "3 sequences",
    },
    Slip {
        name: "model too large",
        from: "    hidden    = 320",
        to: "    hidden    = 32_000",
        says: &["fit"],
        at: "",
    },
];

/// The errors that a command printed as JSON.
fn errors(answer: &Answer) -> Vec<Value> {
    let streams = [&answer.stdout, &answer.stderr];
    let array = streams
        .iter()
        .find_map(|text| serde_json::from_str::<Vec<Value>>(text.trim()).ok());
    let all = array.unwrap_or_else(|| {
        panic!(
            "errors are one JSON array:\n{}\n{}",
            answer.stdout, answer.stderr
        )
    });
    all.into_iter()
        .filter(|one| one["severity"] == "error")
        .collect()
}

/// What every error has: a code of ours, a sentence, an action.
fn assert_excellent(name: &str, error: &Value) {
    let text = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
    assert!(
        text("code").starts_with("pleach::"),
        "{name} has a code: {error}"
    );
    let message = text("message");
    assert!(
        message.len() > 15 && !message.starts_with(char::is_uppercase),
        "{name} has a sentence: {error}"
    );
    assert!(text("help").len() > 5, "{name} has a help: {error}");
}

fn assert_nothing_written(name: &str, home: &Workspace, before: &[String]) {
    assert_eq!(listing(home.path()), before, "{name}: nothing was written");
}

fn listing(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder can be listed");
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// The quickstart with one mistake in it.
fn slipped(home: &Workspace, slip: &Slip) -> String {
    let text =
        fs::read_to_string(places::root().join(QUICKSTART)).expect("the quickstart is there");
    assert!(
        text.contains(slip.from),
        "{}: the quickstart has `{}`",
        slip.name,
        slip.from
    );
    let text = text.replace(slip.from, slip.to);
    fs::write(home.path().join("slip.pleach"), &text).expect("a file can be written");
    text
}

#[test]
fn a_mistake_in_a_spec_is_told_with_its_place() {
    let home = Workspace::new();
    for slip in &SLIPS {
        let text = slipped(&home, slip);
        let before = listing(home.path());
        let answer = answer(&mut home.pleach(["run", "slip.pleach", "--yes", "--json"]));
        assert_eq!(
            answer.code,
            Some(1),
            "{}: {}{}",
            slip.name,
            answer.stdout,
            answer.stderr
        );
        assert_nothing_written(slip.name, &home, &before);
        let errors = errors(&answer);
        assert_eq!(
            errors.len(),
            1,
            "{}: one mistake, one message: {errors:#?}",
            slip.name
        );
        assert_excellent(slip.name, &errors[0]);
        let whole = errors[0].to_string();
        assert!(
            slip.says.iter().all(|word| whole.contains(word)),
            "{}: {whole}",
            slip.name
        );
        let labels = errors[0]["labels"].as_array().expect("an error has labels");
        let points = labels.iter().any(|label| is_at(label, &text, slip.at));
        assert!(
            points,
            "{}: a label is at `{}`: {whole}",
            slip.name, slip.at
        );
    }
}

/// Whether a label lies in the spec on the line where the mistake is.
fn is_at(label: &Value, text: &str, part: &str) -> bool {
    let line = label["line"]
        .as_u64()
        .and_then(|line| text.lines().nth(line as usize - 1));
    let named = label["file"]
        .as_str()
        .is_some_and(|file| file.ends_with("slip.pleach"));
    named && label["column"].as_u64().is_some() && line.is_some_and(|line| line.contains(part))
}

#[test]
fn a_missing_file_is_named() {
    let home = Workspace::new();
    for command in ["check", "plan", "run"] {
        let answer = answer(&mut home.pleach([command, "nowhere.pleach", "--json", "--yes"]));
        assert_eq!(answer.code, Some(1), "{command}: {}", answer.stderr);
        let errors = errors(&answer);
        assert_excellent(command, &errors[0]);
        assert!(
            errors[0].to_string().contains("nowhere.pleach"),
            "{errors:?}"
        );
        assert_nothing_written(command, &home, &[]);
    }
}

#[test]
fn an_import_cycle_is_shown_link_by_link() {
    let home = Workspace::new();
    let file = |name: &str, text: &str| {
        fs::write(home.path().join(name), text).expect("a file can be written")
    };
    file(
        "one.pleach",
        "import \"two.pleach\"\n\nexperiment e { seed = 1 }\n",
    );
    file("two.pleach", "import \"one.pleach\"\n");
    let answer = answer(&mut home.pleach(["check", "one.pleach", "--json"]));
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    let errors = errors(&answer);
    let cycle = errors
        .iter()
        .find(|error| error["code"] == "pleach::import::cycle");
    let cycle = cycle.unwrap_or_else(|| panic!("the cycle is told: {errors:#?}"));
    assert_excellent("import cycle", cycle);
    assert!(
        cycle.to_string().contains("one.pleach") && cycle.to_string().contains("two.pleach"),
        "{cycle}"
    );
}

#[test]
fn a_plan_edited_by_hand_is_refused_before_a_worker_starts() {
    let home = Workspace::new();
    let mut command = home.pleach(["plan", "--out", "plan.json"]);
    succeed(command.arg(places::root().join(QUICKSTART)));
    let path = home.path().join("plan.json");
    let text = fs::read_to_string(&path).expect("the plan is there");
    let edited = text.replacen("\"workspace\":", "\"workspace\":1", 1);
    assert_ne!(text, edited);
    fs::write(&path, edited).expect("a file can be written");
    let before = listing(home.path());
    let answer = answer(&mut home.pleach(["run", "plan.json", "--yes", "--json"]));
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    let errors = errors(&answer);
    assert_excellent("edited plan", &errors[0]);
    assert!(errors[0].to_string().contains("changed"), "{errors:?}");
    assert_nothing_written("edited plan", &home, &before);
}

#[test]
fn a_truncated_checkpoint_is_refused_and_the_one_before_it_taken() {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    let saving = ["checkpoints.every=5 steps", "checkpoints.keep=2"];
    succeed(&mut home.run(QUICKSTART, &[&SHORT[..], &saving[..]].concat()));
    let run = home.only_run();
    let whole = job::losses(&run);
    truncate_one(&run.join("checkpoints/step-000020"));
    let answer = succeed(home.pleach(["resume", "--no-progress"]).arg(&run));
    assert!(
        answer.stderr.contains("step-000020"),
        "the damaged checkpoint is named: {}",
        answer.stderr
    );
    assert_eq!(
        job::losses(&run),
        whole,
        "from the checkpoint before it the run comes to the same end"
    );

    truncate_one(&run.join("checkpoints/step-000020"));
    truncate_one(&run.join("checkpoints/step-000015"));
    let kept = listing(&run.join("checkpoints"));
    let refused = job::answer(
        home.pleach(["export", "--to", "hf", "--out", "model", "--json"])
            .arg(&run),
    );
    assert!(matches!(refused.code, Some(1 | 2)), "{refused:?}");
    let errors = errors(&refused);
    assert_excellent("truncated checkpoint", &errors[0]);
    assert_eq!(listing(&run.join("checkpoints")), kept, "nothing is lost");
    assert!(!home.path().join("model").exists(), "nothing is written");
}

/// Cuts the last byte off one of a checkpoint's files.
fn truncate_one(folder: &Path) {
    let path = folder.join("rank-0.safetensors");
    let file = fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let length = file.metadata().expect("an open file has a size").len();
    file.set_len(length - 1).expect("a file can be cut");
}

#[test]
fn another_libtorch_is_refused_with_both_versions() {
    let home = Workspace::new();
    let torch = home.path().join("torch");
    fs::create_dir_all(torch.join("include/torch/csrc/api/include")).expect("a folder can be made");
    fs::create_dir_all(torch.join("lib")).expect("a folder can be made");
    for (name, text) in [
        ("lib/libtorch_cpu.so", ""),
        ("lib/libc10.so", ""),
        ("build-version", "2.8.0+cu128\n"),
    ] {
        fs::write(torch.join(name), text).expect("a file can be written");
    }
    let link = fs::read_link(places::libtorch_link()).ok();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut setup = Command::new(cargo);
    let answer = answer(
        setup
            .current_dir(places::root())
            .args(["xtask", "setup"])
            .env("LIBTORCH", &torch),
    );
    assert_ne!(answer.code, Some(0));
    assert!(
        answer.stderr.contains("2.8.0+cu128") && answer.stderr.contains("2.11.0"),
        "{}",
        answer.stderr
    );
    assert!(answer.stderr.contains("help:"), "{}", answer.stderr);
    assert_eq!(
        fs::read_link(places::libtorch_link()).ok(),
        link,
        "the checkout's own link stays"
    );
}
