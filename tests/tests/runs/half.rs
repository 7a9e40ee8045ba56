//! Half precision with a loss scale that follows the gradients, and what a run does about steps that are not finite.
//!
//! The scale begins so high that the first steps overflow, and its window is short, so that it falls and rises within the run.

use pleach_storage::checkpoint::{Checkpoint, Kind};
use pleach_tests::have;
use pleach_tests::job::{self, QUICKSTART, SHORT, Workspace, spawn, succeed};
use serde_json::Value;
use xtask::processes;

use super::compare::{Trained, loss_difference, same_bits};

/// What a run that can be gone on with ends with.
const FAULT: i32 = 10;

/// A model that is quick.
const SMALL: [&str; 2] = ["model.hidden=64", "model.heads=4"];

const HALF: [&str; 4] = [
    "train.precision=fp16 { initial_scale = 16_777_216, window = 4 steps, hysteresis = 1 }",
    "log.what=[loss, grad_norm, loss_scale]",
    "checkpoints.every=3 steps",
    "checkpoints.keep=20",
];

const ONE: [&str; 4] = [
    "cluster.gpus_per_node=1",
    "plan.tp=1",
    "plan.pp=1",
    "plan.micro_batch=2 sequences",
];

const SPLIT: [&str; 5] = [
    "cluster.gpus_per_node=4",
    "plan.tp=2",
    "plan.dp=2",
    "plan.pp=1",
    "plan.zero=1",
];

/// What the log says of the scale of every step, and how many were left out until then.
fn scales(run: &Trained) -> Vec<(f64, u64)> {
    let of = |line: &Value| {
        let scale = line["loss_scale"].as_f64().expect("every line has a scale");
        (scale, line["skipped"].as_u64().unwrap_or(0))
    };
    job::metrics(&run.folder).iter().map(of).collect()
}

/// Products are rounded to 11 bits, so a loss of about 5 is off by 5 * 2^-11 = 2e-3 at most where roundings differ in one place; over
/// its tokens the mean differs by far less. Twice the unit round-off bounds what was seen (1e-4) with room.
const LOSSES: f64 = 1e-3;

#[test]
fn in_fp16_placements_agree_and_what_is_killed_goes_on_with_its_scale() {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    succeed(&mut home.run(QUICKSTART, &[&SHORT[..], &SMALL, &HALF, &ONE].concat()));
    let one = Trained::read(&home.only_run());
    let followed = scales(&one);
    let (first, last) = (followed[0], followed[19]);
    let risen = followed.windows(2).any(|pair| pair[1].0 > pair[0].0);
    assert!(
        first == (16_777_216.0, 1) && last.1 >= 3 && risen,
        "{followed:?}"
    );

    let away = home.beside();
    let settings = [&SHORT[..], &SMALL, &HALF, &SPLIT].concat();
    let mut child = spawn(&mut away.run(QUICKSTART, &settings));
    let workers = processes::wait_for_workers(child.id(), 4);
    processes::wait_until("some steps are done", || {
        (job::metrics(&away.only_run()).len() >= 8).then_some(())
    });
    processes::kill(workers[1].pid);
    child.wait().expect("pleach ends");
    succeed(
        away.pleach(["resume", "--no-progress"])
            .arg(away.only_run()),
    );
    let split = Trained::read(&away.only_run());
    let losses = loss_difference(&one.losses, &split.losses);
    println!("losses {losses:.1e}, scales {followed:?}");
    assert_eq!(scales(&split), followed, "the same steps are left out");
    assert!(losses <= LOSSES, "losses differ by {losses:e}");

    let alone = home.beside();
    succeed(&mut alone.run(QUICKSTART, &settings));
    let undisturbed = Trained::read(&alone.only_run());
    assert_eq!(split.losses, undisturbed.losses);
    assert!(same_bits(
        &split.checkpoint(20),
        &undisturbed.checkpoint(20)
    ));
}

/// The highest scale that is allowed, which cannot fall: every step overflows.
const TOO_HIGH: &str = "train.precision=fp16 { scale = 4_294_967_296 }";

#[test]
fn a_run_that_halts_is_saved_as_it_was_and_names_the_samples() {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    let settings = [&SHORT[..], &SMALL, &[TOO_HIGH], &SPLIT].concat();
    let said = job::answer(&mut home.run(QUICKSTART, &settings));
    assert_eq!(said.code, Some(FAULT), "{}", said.stderr);
    let text = said.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "not_finite",
        "step 1:",
        "samples are 0",
        "train.not_finite = skip",
    ] {
        assert!(text.contains(part), "{part}: {}", said.stderr);
    }
    let halted = home.only_run().join("checkpoints/step-000000");
    assert!(halted.join("manifest.json").exists());

    let away = home.beside();
    let settings = [&SHORT[..], &SMALL, &HALF, &ONE, &["checkpoints.also=[0]"]].concat();
    succeed(&mut away.run(QUICKSTART, &settings));
    let begun = Trained::read(&away.only_run()).checkpoint(0);
    let halted = Checkpoint::open(&halted).expect("it is whole");
    let values = |of: &Checkpoint, name: &str| of.logical(name, Kind::Weight).expect("it is there");
    for (name, _) in begun.parameters() {
        assert!(values(&begun, name) == values(&halted, name), "{name}");
    }
}

#[test]
fn what_the_spec_allows_to_be_left_out_is_left_out_and_then_it_halts() {
    if have::worker().is_none() {
        return;
    }
    for (policy, steps, part) in [
        ("skip { in_a_row = 3 }", 3, "it follows 3 others"),
        ("roll_back { times = 2 }", 2, "has gone back 2 times"),
    ] {
        let home = Workspace::new();
        let policy = format!("train.not_finite={policy}");
        let settings = [&SHORT[..], &SMALL, &[TOO_HIGH, &policy], &ONE].concat();
        let said = job::answer(&mut home.run(QUICKSTART, &settings));
        assert_eq!(said.code, Some(FAULT), "{}", said.stderr);
        let text = said.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        let text = text.replace("│ ", "");
        assert!(text.contains(part), "{policy}: {}", said.stderr);
        assert_eq!(job::metrics(&home.only_run()).len(), steps, "{policy}");
    }
}

/// A run that goes on counts where it was: what is allowed is allowed once, not once for each attempt. A halt comes again at its step.
#[test]
fn what_is_left_out_is_counted_over_attempts() {
    if have::worker().is_none() {
        return;
    }
    for (policy, begun, steps, then) in [
        ("skip { in_a_row = 3 }", "2", 3, 5),
        ("roll_back { times = 2 }", "1", 2, 7),
    ] {
        let home = Workspace::new();
        let policy = format!("train.not_finite={policy}");
        let settings = [&SHORT[..], &SMALL, &[TOO_HIGH, &policy], &ONE].concat();
        succeed(home.run(QUICKSTART, &settings).args(["--steps", begun]));
        let run = home.only_run();
        let resume = |settings: &[&str]| {
            let mut resume = home.pleach(["resume", "--no-progress", "--yes"]);
            resume.arg(&run);
            resume.args(settings.iter().flat_map(|setting| ["--set", setting]));
            let said = job::answer(&mut resume);
            assert_eq!(said.code, Some(FAULT), "{policy}: {}", said.stderr);
            job::metrics(&run).len()
        };
        assert_eq!(resume(&[]), steps, "{policy}");
        assert_eq!(resume(&[]), steps, "{policy}");
        assert_eq!(resume(&["train.not_finite=skip { in_a_row = 5 }"]), then);
    }
}

/// Eight steps in, weights of rank 1 become no numbers. The next step's loss tells; the last checkpoint is from before.
#[test]
fn what_a_fault_of_memory_spoils_is_made_again_from_the_last_checkpoint() {
    if have::worker().is_none() {
        return;
    }
    let settings = [
        "train.precision=fp32",
        "checkpoints.every=3 steps",
        "checkpoints.keep=20",
        "train.not_finite=roll_back",
    ];
    let settings = [&SHORT[..], &SMALL, &settings, &SPLIT].concat();
    let home = Workspace::new();
    succeed(&mut home.run(QUICKSTART, &settings));
    let undisturbed = Trained::read(&home.only_run());
    let away = home.beside();
    let said = succeed(
        away.run(QUICKSTART, &settings)
            .env("PLEACH_SPOIL_AT", "1:8"),
    );
    let run = Trained::read(&away.only_run());
    let log = std::fs::read_to_string(run.folder.join("log/rank-0.txt")).expect("rank 0 has a log");
    assert!(
        log.contains("the run goes back") && log.contains("resumed after step 6"),
        "{log}\n{}",
        said.stderr
    );
    assert_eq!(run.losses, undisturbed.losses);
    assert!(same_bits(&run.checkpoint(20), &undisturbed.checkpoint(20)));
}

/// Rows of the embedding that the next steps do not read: the loss says nothing, but what is no number is not saved.
#[test]
fn weights_that_are_not_finite_are_not_saved() {
    if have::worker().is_none() {
        return;
    }
    let settings = ["train.precision=fp32", "checkpoints.every=2 steps"];
    let settings = [&SHORT[..], &SMALL, &settings, &SPLIT].concat();
    let home = Workspace::new();
    let mut run = home.run(QUICKSTART, &settings);
    let said = job::answer(run.env("PLEACH_SPOIL_AT", "1:8"));
    assert_eq!(said.code, Some(FAULT), "{}", said.stderr);
    let text = said.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    let wanted = "after step 8 weights of rank 1 are not finite; this state is not saved";
    assert!(text.replace("│ ", "").contains(wanted), "{}", said.stderr);
    let run = home.only_run();
    assert!(!run.join("checkpoints/step-000008").exists());
    succeed(home.pleach(["resume", "--no-progress"]).arg(&run));
    assert_eq!(job::losses(&run).len(), 20);
}
