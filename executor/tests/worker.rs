//! Real worker processes on loopback: they train, save, are killed, resume with the same bits, and say what went wrong.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod job;
#[path = "../../plan/tests/sample/mod.rs"]
mod sample;

use std::fs;
use std::time::{Duration, Instant};

use job::Job;
use pleach_plan::Schedule;
use sample::{ONE, Shape};
use serde_json::{Value, json};

const TWO: Shape = Shape { tp: 2, ..ONE };
const FOUR: Shape = Shape {
    tp: 2,
    pp: 2,
    ..ONE
};
const SOON: Duration = Duration::from_secs(5);

#[test]
fn four_ranks_train_and_leave_everything_in_the_runs_folder() {
    let job = Job::new(FOUR, 12, 5);
    let trace = job.path("trace");
    let losses = job.finish(
        "run",
        &[
            "--ledger",
            "--trace",
            trace.to_str().unwrap(),
            "--dump-gradients",
            "1",
            "--steps",
            "11",
        ],
    );
    assert_eq!(losses.len(), 11);
    assert!(losses[10] < losses[0], "{losses:?}");
    for step in ["step-000005", "step-000010", "step-000011"] {
        assert!(
            job.path("run/checkpoints")
                .join(step)
                .join("manifest.json")
                .exists(),
            "{step}"
        );
    }
    assert!(job.path("run/gradients/step-000001/manifest.json").exists());
    for rank in 0..4 {
        let read = |path: String| {
            serde_json::from_str::<Value>(&fs::read_to_string(job.path(&path)).unwrap()).unwrap()
        };
        let ledger = read(format!("run/ledger/rank-{rank}.json"));
        assert!(
            ledger
                .as_array()
                .unwrap()
                .iter()
                .all(|line| line["live"] == line["planned_live"])
        );
        let usage = read(format!("run/memory/rank-{rank}.json"));
        assert!(usage["rss_peak"].as_u64() >= usage["rss_begin"].as_u64());
        let events = read(format!("trace-rank-{rank}.json"));
        let spans = events["traceEvents"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|event| event["ph"] == "X");
        assert!(spans.clone().count() > 4 * ledger.as_array().unwrap().len() / 2);
        assert!(
            spans
                .clone()
                .all(|span| span["pid"] == json!(rank) && span["args"]["slot"].is_u64())
        );
    }
}

#[test]
fn a_killed_run_resumes_with_the_same_bits() {
    let job = Job::new(TWO, 100, 20);
    let whole = job.finish("whole", &[]);
    let mut workers = job.start("killed", &[]);
    workers[0].wait_for("step", 57);
    workers
        .iter()
        .for_each(|worker| worker.signal(libc::SIGKILL));
    workers
        .into_iter()
        .for_each(|worker| drop(worker.end(SOON)));
    // What a crash may leave of the newest checkpoint must not be believed.
    let newest = job.path("killed/checkpoints/step-000040/rank-1.safetensors");
    let bytes = fs::read(&newest).unwrap();
    fs::write(&newest, &bytes[..bytes.len() - 1]).unwrap();
    let resumed = job.finish("killed", &["--resume"]);
    let bits = |losses: &[f64]| losses.iter().map(|loss| loss.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&whole), bits(&resumed));
    // Starting it again from the beginning would lose it.
    let (status, log) = job.start("whole", &[]).remove(0).end(SOON);
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("--resume"), "{log}");
    assert_eq!(job.losses("whole").len(), whole.len());
}

#[test]
fn a_terminated_run_saves_and_goes_back_into_the_queue() {
    let job = Job::new(TWO, 120, 1000);
    let mut workers = job.start("run", &[]);
    workers[0].wait_for("step", 20);
    workers[1].signal(libc::SIGTERM);
    for worker in workers {
        let (status, log) = worker.end(SOON);
        assert_eq!(status.code(), Some(75), "{log}");
    }
    let done = job.losses("run").len();
    assert!((20..120).contains(&done));
    assert!(
        job.path(&format!("run/checkpoints/step-{done:06}/manifest.json"))
            .exists()
    );
    assert_eq!(job.finish("run", &["--resume"]).len(), 120);
}

#[test]
fn when_a_rank_is_killed_the_others_name_it_and_end() {
    let job = Job::new(FOUR, 100_000, 1_000_000);
    let mut workers = job.start("run", &[]);
    workers[0].wait_for("step", 10);
    let killed = Instant::now();
    workers[3].signal(libc::SIGKILL);
    for (rank, worker) in (0..).zip(workers) {
        let (status, log) = worker.end(SOON);
        if rank == 3 {
            continue;
        }
        assert_eq!(status.code(), Some(10), "{log}");
        let failure = job.failure("run", rank);
        assert_eq!(
            failure["code"],
            json!("pleach::worker::peer_lost"),
            "{failure}"
        );
        assert!(
            failure["message"].as_str().unwrap().contains("rank"),
            "{failure}"
        );
    }
    assert!(killed.elapsed() < SOON, "{:?}", killed.elapsed());
    // Whatever its neighbour was waiting for, the processes tell who is gone.
    let neighbour = job.failure("run", 2);
    let message = neighbour["message"].as_str().unwrap();
    assert!(
        message.contains('3') && neighbour["instruction"].is_string(),
        "{neighbour}"
    );
}

#[test]
fn a_rank_that_stands_still_is_named_after_the_deadline() {
    let job = Job::new(TWO, 100_000, 1_000_000);
    let mut workers = job.start("run", &["--deadline", "2"]);
    workers[0].wait_for("step", 10);
    workers[1].signal(libc::SIGSTOP);
    let stopped = workers.pop().unwrap();
    let (status, log) = workers.pop().unwrap().end(Duration::from_secs(8));
    assert_eq!(status.code(), Some(10), "{log}");
    let failure = job.failure("run", 0);
    assert_eq!(failure["peer"], json!(1), "{failure}");
    stopped.signal(libc::SIGKILL);
    stopped.end(SOON);
}

#[test]
fn a_loss_that_is_no_number_ends_the_run_and_says_so() {
    let mut job = Job::new(ONE, 50, 1);
    job.plan.training.schedule = Schedule::Constant {
        peak: 1e300,
        warmup: 0,
    };
    job.write_plan("plan.json");
    let (status, log) = job.start("run", &[]).pop().unwrap().end(SOON);
    assert_eq!(status.code(), Some(10), "{log}");
    let failure = job.failure("run", 0);
    assert_eq!(
        failure["code"],
        json!("pleach::worker::not_finite"),
        "{failure}"
    );
    let message = failure["message"].as_str().unwrap();
    assert!(message.contains("samples"), "{message}");
    // Nothing of the broken step was kept.
    let step = failure["step"].as_u64().unwrap();
    assert_eq!(job.losses("run").len() as u64, step - 1);
    assert!(
        !job.path(&format!("run/checkpoints/step-{step:06}"))
            .exists()
    );
}

#[test]
fn plans_that_were_changed_or_are_for_others_are_refused_before_anything_is_written() {
    let job = Job::new(TWO, 10, 10);
    let refused = |part: &str| {
        let worker = job.start_rank(0, 1, 1, "run", &[]);
        let (status, log) = worker.end(SOON);
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(log.contains(part), "{log}");
        assert!(!job.path("run").exists());
    };
    refused("it is for 2 ranks, 1 were started");
    let text = fs::read_to_string(job.path("plan.json")).unwrap();
    fs::write(
        job.path("plan.json"),
        text.replacen("\"micro_batch\":4", "\"micro_batch\":5", 1),
    )
    .unwrap();
    refused("changed after it was made");
    let mut unsound = Job::new(TWO, 10, 10);
    unsound.plan.bodies[0].code.pop();
    unsound.write_plan("plan.json");
    let (status, log) = unsound.start_rank(0, 2, 1, "run", &[]).end(SOON);
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("not sound"), "{log}");
}

#[test]
fn logits_come_from_a_checkpoint_of_any_placement() {
    let mut job = Job::new(TWO, 3, 3);
    job.finish("run", &[]);
    job.plan = Job::new(ONE, 3, 3).plan;
    job.write_plan("one.json");
    fs::write(
        job.path("tokens.json"),
        "[[1, 2, 3], [4, 5], [1, 2, 7], [1], [2], [3]]",
    )
    .unwrap();
    let out = job.path("logits.safetensors");
    let status = std::process::Command::new(env!("CARGO_BIN_EXE_pleach-worker"))
        .arg("forward")
        .args([
            "--plan".as_ref(),
            job.path("one.json").as_os_str(),
            "--run".as_ref(),
            job.path("run").as_os_str(),
        ])
        .args([
            "--tokens".as_ref(),
            job.path("tokens.json").as_os_str(),
            "--out".as_ref(),
            out.as_os_str(),
        ])
        .status()
        .unwrap();
    assert!(status.success());
    let logits: std::collections::BTreeMap<_, _> = tch::Tensor::read_safetensors(out)
        .unwrap()
        .into_iter()
        .collect();
    assert_eq!(logits.len(), 6);
    assert_eq!(logits["logits.1"].size(), [2, 8]);
    // What comes later does not change what came before.
    assert_eq!(
        logits["logits.0"].narrow(0, 0, 2),
        logits["logits.2"].narrow(0, 0, 2)
    );
    assert_ne!(logits["logits.0"].get(2), logits["logits.2"].get(2));
}

#[test]
fn a_worker_whose_log_has_no_room_still_ends_as_it_should() {
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_pleach-worker"))
        .stderr(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "nothing was asked of it");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["code"], "pleach::worker::arguments");
}
