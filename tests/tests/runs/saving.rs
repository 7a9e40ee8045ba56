//! Saving while training goes on changes no bit, survives being killed, and keeps what the spec asks for; weights alone are no state to go on
//! from.

use std::path::Path;

use pleach_storage::checkpoint;
use pleach_tests::have;
use pleach_tests::job::{self, QUICKSTART, SHORT, Workspace, answer, spawn, succeed};
use xtask::processes;

use super::compare::{Trained, same_bits};

const PLACED: [&str; 3] = ["plan.tp=2", "plan.pp=2", "cluster.gpus_per_node=4"];
const SAVING: [&str; 3] = [
    "checkpoints.every=3 steps",
    "checkpoints.keep=2",
    "checkpoints.also=[0 steps, 1 steps, 2 steps]",
];

fn saved_steps(run: &Path) -> Vec<u64> {
    let found = checkpoint::list(&run.join("checkpoints")).expect("the folder can be listed");
    found.into_iter().map(|(step, _)| step).collect()
}

#[test]
fn saving_beside_training_changes_no_bit_and_survives_a_kill() {
    if have::worker().is_none() {
        return;
    }
    let settings = [&SHORT[..], &PLACED[..], &SAVING[..]].concat();
    let home = Workspace::new();
    succeed(&mut home.run(QUICKSTART, &settings));
    let waited = Trained::read(&home.only_run());
    assert_eq!(saved_steps(&waited.folder), [0, 1, 2, 18, 20]);

    let settings = [&settings[..], &["checkpoints.background=true"]].concat();
    let away = home.beside();
    let mut child = spawn(&mut away.run(QUICKSTART, &settings));
    let workers = processes::wait_for_workers(child.id(), 4);
    processes::wait_until("some checkpoints are written", || {
        (job::metrics(&away.only_run()).len() >= 10).then_some(())
    });
    workers
        .iter()
        .for_each(|worker| processes::kill(worker.pid));
    child.kill().expect("pleach can be killed");
    child.wait().expect("pleach ends");
    let run = away.only_run();
    succeed(away.pleach(["resume", "--no-progress"]).arg(&run));
    let beside = Trained::read(&run);
    assert_eq!(beside.losses, waited.losses);
    assert_eq!(saved_steps(&run), [0, 1, 2, 18, 20]);
    for step in [1, 18, 20] {
        let [one, other] = [&waited, &beside].map(|run| run.checkpoint(step));
        assert!(same_bits(&one, &other), "step {step}");
    }
}

#[test]
fn weights_alone_are_used_and_not_gone_on_from() {
    if have::worker().is_none() {
        return;
    }
    let long = ["checkpoints.optimizer=false", "train.steps=2000 steps"];
    let short = SHORT
        .into_iter()
        .filter(|one| !one.starts_with("train.steps"));
    let settings: Vec<&str> = short.chain(PLACED).chain(SAVING).chain(long).collect();
    let home = Workspace::new();
    let child = spawn(&mut home.run(QUICKSTART, &settings));
    let workers = processes::wait_for_workers(child.id(), 4);
    processes::wait_until("some checkpoints are written", || {
        (saved_steps(&home.only_run()).last()? > &2).then_some(())
    });
    processes::kill(workers[1].pid);
    let output = child.wait_with_output().expect("pleach ends");
    assert_eq!(output.status.code(), Some(10), "{output:?}");
    let run = home.only_run();
    let newest = *saved_steps(&run).last().expect("there are checkpoints");
    assert!(!Trained::read(&run).checkpoint(newest).has_moments());
    let refused = answer(home.pleach(["resume", "--no-progress"]).arg(&run));
    assert_ne!(refused.code, Some(0));
    let text = format!("{}{}", refused.stdout, refused.stderr);
    assert!(text.contains("no optimizer's state"), "{text}");
}

#[test]
fn a_run_of_weights_that_is_asked_to_stop_saves_all() {
    if have::worker().is_none() {
        return;
    }
    let settings = [
        &SHORT[..],
        &PLACED[..],
        &["checkpoints.optimizer=false", "checkpoints.background=true"],
    ]
    .concat();
    let home = Workspace::new();
    succeed(home.run(QUICKSTART, &settings).args(["--steps", "5"]));
    let run = home.only_run();
    assert!(Trained::read(&run).checkpoint(5).has_moments());
    succeed(home.pleach(["resume", "--no-progress"]).arg(&run));
    assert!(!Trained::read(&run).checkpoint(20).has_moments());
}
