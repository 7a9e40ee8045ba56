//! A rank that is slowed down is named on the screen, in its log and in the run's record, once, and once more when it recovers; the run goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use pleach_tests::have;
use pleach_tests::job::{Workspace, spawn};
use serde_json::Value;
use xtask::processes::{self, signal};

use super::{LONG, TWO, run};

/// Stops and continues a process in turns until told otherwise, so that it is there for the smaller part of the time.
fn slow_down(pid: i32, until: &Arc<AtomicBool>) -> thread::JoinHandle<()> {
    let until = Arc::clone(until);
    thread::spawn(move || {
        while !until.load(Ordering::Relaxed) {
            signal(pid, libc::SIGSTOP);
            thread::sleep(Duration::from_millis(60));
            signal(pid, libc::SIGCONT);
            thread::sleep(Duration::from_millis(20));
        }
    })
}

#[test]
fn the_rank_that_is_slowed_down_is_named_and_again_when_it_recovers() {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    let settings = [&TWO[..], &[LONG, "checkpoints.every=1_000_000 steps"]].concat();
    let child = spawn(&mut run(&home, &settings));
    let workers = processes::wait_for_workers(child.id(), 2);
    let log = || {
        let path = home.only_run().join("log/rank-0.txt");
        std::fs::read_to_string(path).unwrap_or_default()
    };
    processes::wait_until("it trains", || {
        home.only_run().join("metrics.jsonl").exists().then_some(())
    });
    let ends = Arc::new(AtomicBool::new(false));
    let pulses = slow_down(workers[1].pid, &ends);
    processes::wait_until("it is named", || {
        log().contains("rank 1 computes").then_some(())
    });
    ends.store(true, Ordering::Relaxed);
    pulses.join().expect("it ends");
    processes::wait_until("it has recovered", || {
        log()
            .contains("rank 1 computes as fast as the others again")
            .then_some(())
    });
    processes::ask_to_stop(child.id());
    let output = child.wait_with_output().expect("pleach ends");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(75), "the run went on: {told}");
    let lines: Vec<&str> = told
        .lines()
        .filter(|line| line.contains("computes"))
        .collect();
    let [named, recovered] = lines[..] else {
        panic!("{told}")
    };
    assert!(
        named.contains("rank 1") && named.contains("times as long as the plan says; the others"),
        "{named}"
    );
    assert!(
        recovered.contains("rank 1") && recovered.contains("again"),
        "{recovered}"
    );
    let record = std::fs::read_to_string(home.only_run().join("record.json")).expect("a record");
    let record: Value = serde_json::from_str(&record).expect("JSON");
    let found = &record["attempts"][0]["stragglers"];
    assert_eq!(
        (&found[0]["of"], &found[0]["recovered"]),
        (&1.into(), &false.into()),
        "{found}"
    );
    assert_eq!(found[1]["recovered"], true, "{found}");
    let [ratio, others] =
        ["ratio", "others"].map(|name| found[0][name].as_f64().expect("a number"));
    assert!(ratio > 1.5 * others && others > 0.0, "{found}");
}
