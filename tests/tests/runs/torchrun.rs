//! The same program started by somebody else: two torchrun agents with two ranks each give the bits that `pleach run` gives.

use std::path::Path;
use std::process::{Child, Command};

use pleach_tests::have;
use pleach_tests::job::{self, QUICKSTART, SHORT, Workspace, spawn, succeed};

use super::compare::{Trained, same_bits};

const PLACED: [&str; 3] = ["plan.tp=2", "plan.pp=2", "cluster.gpus_per_node=4"];

/// One of the two agents.
fn agent(torchrun: &Path, node: u32, port: u16, worker: &Path, of: &Trained, run: &Path) -> Child {
    let plan = of.folder.join("plan.json");
    let mut command = Command::new(torchrun);
    command.args([
        "--nnodes=2",
        "--nproc-per-node=2",
        "--master-addr=127.0.0.1",
        "--no-python",
    ]);
    command.args([
        format!("--node-rank={node}"),
        format!("--master-port={port}"),
    ]);
    // torchrun would take `--run` for the beginning of its own `--run-path`.
    command.arg("--");
    command
        .arg(worker)
        .arg("--plan")
        .arg(plan)
        .arg("--run")
        .arg(run);
    command
        .arg("--data")
        .arg(job::data(&job::plan(&of.folder)))
        .env("OMP_NUM_THREADS", "1");
    spawn(&mut command)
}

#[test]
fn two_agents_give_the_same_bits() {
    let (Some(worker), Some(torchrun)) = (have::worker(), have::python_program("torchrun")) else {
        return;
    };
    let home = Workspace::new();
    let settings = [&SHORT[..], &PLACED[..]].concat();
    succeed(home.run(QUICKSTART, &settings).env("OMP_NUM_THREADS", "1"));
    let launched = Trained::read(&home.only_run());

    let away = home.beside();
    let run = away.path().join("by-torchrun");
    std::fs::create_dir(&run).expect("a folder can be made");
    std::fs::copy(launched.folder.join("plan.json"), run.join("plan.json"))
        .expect("a plan can be copied");
    let port = job::free_port();
    let agents: Vec<Child> = (0..2)
        .map(|node| agent(&torchrun, node, port, &worker, &launched, &run))
        .collect();
    for child in agents {
        let output = child.wait_with_output().expect("an agent ends");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let started = Trained::read(&run);
    assert_eq!(started.losses.len(), 20);
    assert_eq!(started.losses, launched.losses, "every loss");
    assert!(
        same_bits(&started.checkpoint(20), &launched.checkpoint(20)),
        "weights and moments"
    );
}
