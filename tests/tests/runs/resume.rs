//! A run that is killed at any instant and resumed ends exactly where one that was left alone ends.

use std::time::{SystemTime, UNIX_EPOCH};

use pleach_tests::have;
use pleach_tests::job::{self, QUICKSTART, SHORT, Workspace, spawn, succeed};
use xtask::processes;

use super::compare::{Trained, same_bits};

const SAVING: [&str; 5] = [
    "checkpoints.every=3 steps",
    "checkpoints.keep=2",
    "plan.tp=2",
    "plan.pp=2",
    "cluster.gpus_per_node=4",
];

/// A step of the run after its first checkpoint, another one each time.
fn random_step() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is past 1970");
    4 + u64::from(now.subsec_nanos()) / 1000 % 14
}

/// Kills `pleach` and all its workers, none of them warned, once so many steps are done.
fn run_and_kill(workspace: &Workspace, settings: &[&str], step: u64) {
    let mut child = spawn(&mut workspace.run(QUICKSTART, settings));
    let workers = processes::wait_for_workers(child.id(), 4);
    processes::wait_until("the step is done", || {
        (job::metrics(&workspace.only_run()).len() as u64 >= step).then_some(())
    });
    workers
        .iter()
        .for_each(|worker| processes::kill(worker.pid));
    child.kill().expect("pleach can be killed");
    child.wait().expect("pleach ends");
    processes::wait_until("all are gone", || {
        (!workers
            .iter()
            .any(|worker| processes::is_running(worker.pid)))
        .then_some(())
    });
}

#[test]
fn killed_and_resumed_ends_with_the_same_bits() {
    if have::worker().is_none() {
        return;
    }
    let settings = [&SHORT[..], &SAVING[..]].concat();
    let home = Workspace::new();
    succeed(&mut home.run(QUICKSTART, &settings));
    let undisturbed = Trained::read(&home.only_run());

    let away = home.beside();
    let step = random_step();
    println!("killed after step {step}");
    run_and_kill(&away, &settings, step);
    let run = away.only_run();
    succeed(away.pleach(["resume", "--no-progress"]).arg(&run));
    let resumed = Trained::read(&run);

    assert_eq!(
        resumed.losses.last(),
        undisturbed.losses.last(),
        "the final loss"
    );
    assert_eq!(resumed.losses, undisturbed.losses, "every loss");
    assert!(
        same_bits(&undisturbed.checkpoint(20), &resumed.checkpoint(20)),
        "weights and moments"
    );
}

#[test]
fn a_run_that_may_restart_goes_on_by_itself() {
    if have::worker().is_none() {
        return;
    }
    let settings = [&SHORT[..], &SAVING[..]].concat();
    let home = Workspace::new();
    succeed(&mut home.run(QUICKSTART, &settings));
    let undisturbed = Trained::read(&home.only_run());

    let away = home.beside();
    let child = spawn(away.run(QUICKSTART, &settings).args(["--restarts", "2"]));
    let workers = processes::wait_for_workers(child.id(), 4);
    processes::wait_until("some steps are done", || {
        (job::metrics(&away.only_run()).len() >= 5).then_some(())
    });
    processes::kill(workers[2].pid);
    let output = child.wait_with_output().expect("pleach ends");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.contains("restart 1 of 2") && text.contains("rank 2"),
        "{text}"
    );
    let resumed = Trained::read(&away.only_run());
    assert_eq!(resumed.losses, undisturbed.losses);
    assert!(same_bits(
        &undisturbed.checkpoint(20),
        &resumed.checkpoint(20)
    ));
}
