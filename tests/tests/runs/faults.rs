//! A worker that dies takes nobody with it into the dark: the others end soon, the message says who, where and waiting for whom.

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use pleach_tests::have;
use pleach_tests::job::{self, QUICKSTART, SHORT, Workspace, spawn};
use serde_json::Value;
use xtask::processes;

const PLACED: [&str; 4] = [
    "plan.tp=2",
    "plan.pp=2",
    "cluster.gpus_per_node=4",
    "train.steps=2000 steps",
];

/// A job in the middle of its training, and its workers.
fn training(workspace: &Workspace) -> (Child, Vec<processes::Worker>) {
    let settings: Vec<&str> = SHORT
        .iter()
        .chain(&PLACED)
        .copied()
        .filter(|setting| *setting != "train.steps=20 steps")
        .collect();
    let child = spawn(&mut workspace.run(QUICKSTART, &settings));
    let workers = processes::wait_for_workers(child.id(), 4);
    let seconds = processes::wait_until("some steps are done", || {
        let done = job::metrics(&workspace.only_run());
        done.get(2)?["seconds"].as_f64()
    });
    // From the end of a step into the middle of the next one.
    std::thread::sleep(Duration::from_secs_f64(seconds / 3.0));
    (child, workers)
}

#[test]
fn a_killed_worker_ends_the_run_within_five_seconds() {
    if have::worker().is_none() {
        return;
    }
    for victim in [0, 3] {
        let workspace = Workspace::new();
        let (child, workers) = training(&workspace);
        processes::kill(workers[victim].pid);
        let begin = Instant::now();
        let output = child.wait_with_output().expect("pleach ends");
        let took = begin.elapsed();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            output.status.code(),
            Some(10),
            "a run that can be resumed: {text}"
        );
        assert!(took < Duration::from_secs(5), "it took {took:?}: {text}");
        assert!(
            text.contains(&format!("rank {victim}")),
            "the message names the rank that died: {text}"
        );
        let names_instruction = [
            "all_reduce",
            "all_gather",
            "reduce_scatter",
            "send",
            "receive",
        ]
        .iter()
        .any(|op| text.contains(op));
        assert!(
            names_instruction,
            "the message names the instruction: {text}"
        );
        let peers = (0..4)
            .filter(|rank| *rank != victim)
            .any(|rank| text.contains(&format!("rank {rank}")));
        assert!(peers, "the message names who waited: {text}");
        let left: Vec<_> = workers
            .iter()
            .filter(|worker| processes::is_running(worker.pid))
            .collect();
        assert!(left.is_empty(), "no process is left behind: {left:?}");
        let records = (0..4).filter_map(|rank| flight(&workspace.only_run(), rank));
        let records: Vec<Vec<Value>> = records.collect();
        assert!(
            !records.is_empty(),
            "those who waited left their flight records"
        );
        for record in records {
            let last = record.last().expect("a rank did something");
            assert!(record.len() > 20 && last["took"].is_null(), "{last}");
            assert!(record[0]["took"].is_number() && record[0]["step"].is_number());
        }
    }
}

/// What a rank did last, where it left a record of that.
fn flight(run: &Path, rank: u32) -> Option<Vec<Value>> {
    let path = run
        .join("failures")
        .join(format!("rank-{rank}.flight.json"));
    let text = std::fs::read_to_string(path).ok()?;
    Some(serde_json::from_str(&text).expect("a flight record is JSON"))
}

#[test]
fn killing_the_launcher_leaves_no_worker_behind() {
    if have::worker().is_none() {
        return;
    }
    let workspace = Workspace::new();
    let (mut child, workers) = training(&workspace);
    child.kill().expect("pleach can be killed");
    child.wait().expect("pleach ends");
    let begin = Instant::now();
    processes::wait_until("all workers are gone", || {
        (!workers
            .iter()
            .any(|worker| processes::is_running(worker.pid)))
        .then_some(())
    });
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "workers end with their launcher, it took {:?}",
        begin.elapsed()
    );
}
