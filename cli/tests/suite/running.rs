//! A run from spec to record, with stand-in workers that only say what real ones say.
//!
//! The data is the real one, prepared in the user's cache as for any run; what workers compute is tested end to end elsewhere.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::{stderr, stdout, until};
use crate::workers::{THREE_STEPS, command, quickstart, runs};
use serde_json::Value;

fn run(folder: &Path, worker: &str, more: &[&str]) -> Output {
    let mut command = command(folder, worker, &["run", "--no-progress"]);
    command
        .arg(quickstart())
        .args(more)
        .output()
        .expect("the test's own files and processes work")
}

fn record(run: &Path) -> Value {
    serde_json::from_str(
        &fs::read_to_string(run.join("record.json"))
            .expect("the test's own files and processes work"),
    )
    .expect("the test's own files and processes work")
}

#[test]
fn a_run_is_planned_run_compared_and_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let worker =
        format!("{THREE_STEPS}\necho '{{\"event\":\"done\",\"step\":3,\"peak_bytes\":209715200}}'");
    let output = run(folder.path(), &worker, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("not a terminal"),
        "it says that nobody was asked: {}",
        stderr(&output)
    );
    let said = stdout(&output);
    for part in [
        "loss 5.5000 -> 3.5000 over steps 1 to 3",
        "predicted",
        "measured",
        "250 ms",
        "200 MiB",
        "stage 1",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let all = runs(folder.path());
    assert_eq!(all.len(), 1);
    let record = record(&all[0]);
    assert_eq!(record["attempts"][0]["exit"], 0);
    assert_eq!(record["attempts"][0]["last_step"], 3);
    assert!(
        record["data_order"].is_string(),
        "the order of the data is part of the record"
    );
    let plan: Value =
        serde_json::from_str(&fs::read_to_string(all[0].join("plan.json")).unwrap()).unwrap();
    assert!(plan["data"]["mix"][0]["fingerprint"].is_string());

    let again = run(folder.path(), "exit 0", &["--json"]);
    assert_eq!(again.status.code(), Some(1));
    let errors: Value = serde_json::from_str(&stderr(&again)).unwrap();
    assert_eq!(errors[0]["code"], "pleach::run::exists");
    let listed = command(folder.path(), "", &["runs", "--json"])
        .output()
        .unwrap();
    let listed: Value = serde_json::from_str(&stdout(&listed)).unwrap();
    assert_eq!(listed[0]["state"], "ended");
}

#[test]
fn a_run_that_breaks_can_be_resumed_and_one_that_never_began_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let refused = r#"echo '{"event":"failed","code":"pleach::worker::libtorch","message":"libtorch 2.8 is not 2.11"}'; exit 2"#;
    let output = run(folder.path(), refused, &["--json"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let errors: Value = serde_json::from_str(&stderr(&output)).unwrap();
    assert_eq!(errors[0]["code"], "pleach::worker::libtorch");
    assert!(
        runs(folder.path()).is_empty(),
        "nothing is left of a run that never began"
    );

    let breaking = format!("{THREE_STEPS}\nif [ $RANK = 3 ]; then kill -9 $$; fi\nsleep 30");
    let output = run(folder.path(), &breaking, &[]);
    assert_eq!(output.status.code(), Some(10), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("rank 3 of 4 stopped"),
        "{}",
        stderr(&output)
    );
    assert!(
        stderr(&output).contains("pleach resume runs/"),
        "{}",
        stderr(&output)
    );
    let all = runs(folder.path());
    let exits = |run: &Path| record(run)["attempts"].as_array().unwrap().clone();
    assert_eq!(exits(&all[0])[0]["exit"], 10);
    assert_eq!(exits(&all[0])[0]["workers"][3]["signal"], 9);

    let worker = format!("{THREE_STEPS}\necho '{{\"event\":\"done\",\"step\":3}}'");
    let mut resume = command(folder.path(), &worker, &["resume", "--no-progress"]);
    let output = resume.arg(&all[0]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("begins again"),
        "{}",
        stderr(&output)
    );
    assert_eq!(exits(&all[0])[1]["exit"], 0);
}

#[test]
fn a_run_that_is_told_to_stop_saves_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let worker = format!(
        "trap 'exit 75' TERM\n{THREE_STEPS}\necho $$ > met-$RANK\nwhile :; do sleep 0.05; done"
    );
    let mut command = command(folder.path(), &worker, &["run", "--no-progress"]);
    command
        .arg(quickstart())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    until("four ranks have met", || {
        (0..4).all(|rank| folder.path().join(format!("met-{rank}")).exists())
    });
    Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(75), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("pleach resume"),
        "{}",
        stderr(&output)
    );
    assert_eq!(record(&runs(folder.path())[0])["attempts"][0]["exit"], 75);
}

#[test]
fn a_worker_that_cannot_be_started_leaves_no_run_behind() {
    let folder = tempfile::tempdir().unwrap();
    let broken = |arguments: &[&str]| {
        let mut command = command(folder.path(), "", arguments);
        fs::write(folder.path().join("worker.sh"), "#!/no/such/interpreter\n").unwrap();
        command.output().unwrap()
    };
    let spec = quickstart();
    let spec = spec.to_str().unwrap();
    let output = broken(&["run", spec, "--json"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let errors: Value = serde_json::from_str(&stderr(&output)).unwrap();
    assert_eq!(errors[0]["code"], "pleach::launch::start");
    assert!(runs(folder.path()).is_empty(), "its name is free again");

    let breaking = format!("{THREE_STEPS}\nkill -9 $$");
    assert_eq!(run(folder.path(), &breaking, &[]).status.code(), Some(10));
    let begun = runs(folder.path()).remove(0);
    let output = broken(&["resume", begun.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let attempts = &record(&begun)["attempts"];
    assert_eq!(attempts.as_array().map(Vec::len), Some(1), "{attempts}");
}

#[test]
fn a_runs_folder_may_have_a_name_that_is_no_text() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let breaking = format!("{THREE_STEPS}\nkill -9 $$");
    assert_eq!(run(folder.path(), &breaking, &[]).status.code(), Some(10));
    let odd = folder
        .path()
        .join(std::ffi::OsStr::from_bytes(b"two words\n\xff"));
    fs::rename(&runs(folder.path())[0], &odd).unwrap();
    let worker = format!("{THREE_STEPS}\necho '{{\"event\":\"done\",\"step\":3}}'");
    let mut resume = command(folder.path(), &worker, &["resume", "--json"]);
    let output = resume.arg(&odd).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let answer: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(answer["last_loss"], 3.5, "{answer}");
}

#[test]
fn a_record_that_cannot_be_written_does_not_hide_how_the_run_ended() {
    let folder = tempfile::tempdir().unwrap();
    let breaking = format!(
        "{THREE_STEPS}\nif [ $RANK = 3 ]; then rm runs/*/record.json;  \
         for run in runs/*; do mkdir $run/record.json; done; kill -9 $$; fi\nsleep 30"
    );
    let output = run(folder.path(), &breaking, &[]);
    assert_eq!(output.status.code(), Some(10), "{}", stderr(&output));
    let told = stderr(&output);
    for part in ["rank 3 of 4 stopped", "warning: ", "record.json"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

/// A run whose workers take a while to save, asked to stop twice with a pause between.
fn asked_twice(pause: Duration) -> Output {
    let folder = tempfile::tempdir().expect("the test's own files and processes work");
    let worker = format!(
        "trap 'sleep 1.5; exit 75' TERM\n{THREE_STEPS}\necho $$ > met-$RANK\nwhile :; do sleep 0.05; done"
    );
    let mut command = command(folder.path(), &worker, &["run", "--no-progress"]);
    command
        .arg(quickstart())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command
        .spawn()
        .expect("the test's own files and processes work");
    until("four ranks have met", || {
        (0..4).all(|rank| folder.path().join(format!("met-{rank}")).exists())
    });
    for pause in [pause, Duration::ZERO] {
        let mut kill = Command::new("kill");
        kill.args(["-TERM", &child.id().to_string()])
            .status()
            .expect("the test's own files and processes work");
        std::thread::sleep(pause);
    }
    child
        .wait_with_output()
        .expect("the test's own files and processes work")
}

#[test]
fn two_requests_within_half_a_second_are_one_and_a_later_one_is_meant() {
    let once = asked_twice(Duration::from_millis(100));
    assert_eq!(once.status.code(), Some(75), "{}", stderr(&once));
    let twice = asked_twice(Duration::from_millis(800));
    assert_eq!(twice.status.code(), Some(10), "{}", stderr(&twice));
    assert!(
        stderr(&twice).contains("stopped on request before everything was saved"),
        "{}",
        stderr(&twice)
    );
}

#[test]
fn a_rank_that_leaves_early_without_an_error_ends_the_run_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let leaving = format!("{THREE_STEPS}\nif [ $RANK = 2 ]; then exit 0; fi\nsleep 30");
    let begun = Instant::now();
    let output = run(folder.path(), &leaving, &[]);
    assert_eq!(output.status.code(), Some(10), "{}", stderr(&output));
    assert!(
        begun.elapsed() < Duration::from_secs(25),
        "the others are not waited for"
    );
    let told = stderr(&output);
    for part in [
        "rank 2 of 4 stopped: ended early without an error",
        "pleach resume runs/",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}
