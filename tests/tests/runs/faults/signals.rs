//! Signals: who is asked to stop saves and loses no step, whoever is asked; who is stopped is named with the instruction that waited for it.

use std::time::{Duration, Instant};

use pleach_tests::have;
use pleach_tests::job::{self, Workspace, spawn, succeed};
use serde_json::Value;
use xtask::processes::{self, signal};

use super::{FOUR, LONG, TWO, flat, resume, run, saved};

#[test]
fn whoever_is_asked_to_stop_no_step_is_lost() {
    if have::worker().is_none() {
        return;
    }
    // The launcher, a rank, and the launcher twice at once, as `timeout` asks: that is one wish.
    for (asked, times) in [(None, 1), (Some(3), 1), (None, 2)] {
        let home = Workspace::new();
        let settings = [&FOUR[..], &[LONG, "checkpoints.every=1_000_000 steps"]].concat();
        let child = spawn(&mut run(&home, &settings));
        let workers = processes::wait_for_workers(child.id(), 4);
        processes::wait_until("some steps are done", || {
            (job::metrics(&home.only_run()).len() >= 3).then_some(())
        });
        let launcher = i32::try_from(child.id()).expect("a process's number");
        let whom = asked.map_or(launcher, |rank: usize| workers[rank].pid);
        (0..times).for_each(|_| signal(whom, libc::SIGTERM));
        let output = child.wait_with_output().expect("pleach ends");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(75), "{asked:?}: {told}");
        let folder = home.only_run();
        let done = job::metrics(&folder).len() as u64;
        assert_eq!(
            saved(&folder).last(),
            Some(&done),
            "no step is lost: {told}"
        );
        assert!(told.contains(&format!("saved after step {done}")), "{told}");
        if times == 2 {
            let goes_on = (done + 3).to_string();
            succeed(resume(&home).args(["--steps", &goes_on]));
            assert_eq!(job::losses(&folder).len() as u64, done + 3);
        }
    }
}

#[test]
fn a_rank_that_is_stopped_is_named_by_a_deadline_that_comes_from_the_plan() {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    let settings = [&TWO[..], &[LONG, "checkpoints.every=1_000_000 steps"]].concat();
    let child = spawn(&mut run(&home, &settings));
    let workers = processes::wait_for_workers(child.id(), 2);
    processes::wait_until("it has shown its pace", || {
        (job::metrics(&home.only_run()).len() >= 20).then_some(())
    });
    let begin = Instant::now();
    signal(workers[1].pid, libc::SIGSTOP);
    let output = child.wait_with_output().expect("pleach ends");
    let (took, told) = (
        begin.elapsed(),
        flat(&String::from_utf8_lossy(&output.stderr)),
    );
    assert_eq!(output.status.code(), Some(10), "{told}");
    let limits = Duration::from_secs(29)..Duration::from_secs(45);
    assert!(
        limits.contains(&took),
        "nothing is allowed less than 30 s, and a step here takes no longer: {took:?}: {told}"
    );
    for part in [
        "rank 1 of 2 stopped while rank 0 waited for it at",
        "was stopped by a signal (SIGSTOP, a debugger)",
        "the plan says",
        "this machine takes",
        "and nothing less than 30 s",
        "pleach resume",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(
        workers
            .iter()
            .all(|worker| !processes::is_running(worker.pid))
    );
    let record = home.only_run().join("failures/rank-0.flight.json");
    let text = std::fs::read_to_string(record).expect("who waited left its flight record");
    let record: Vec<Value> = serde_json::from_str(&text).expect("a flight record is JSON");
    let last = record.last().expect("it did something");
    let took = last["took"].as_f64();
    assert!(took.is_none_or(|took| took > 29.0), "{last}");
}
