//! A machine measures itself into a file beside a spec: that spec plans with it, runs, and goes on elsewhere with it.

use std::process::Command;

use pleach_tests::have;
use pleach_tests::job::{self, QUICKSTART, SHORT, Workspace, answer, succeed};
use xtask::places;

const OWN: [&str; 3] = [
    "cluster.device=\"file:tables/ours.toml\"",
    "cluster.gpus_per_node=1",
    "plan.tp=1",
];

#[test]
fn a_spec_plans_and_runs_with_a_table_that_lies_beside_it() {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    let spec = home.path().join("spec.pleach");
    std::fs::copy(places::root().join(QUICKSTART), &spec).expect("a spec can be copied");
    let named = spec.to_str().expect("a path is text");
    let settings = [&SHORT[..], &OWN, &["plan.pp=1"]].concat();
    let missing = answer(&mut home.run(named, &settings));
    assert_eq!(missing.code, Some(1), "{}", missing.stderr);
    assert!(
        missing.stderr.contains("tables/ours.toml"),
        "{}",
        missing.stderr
    );

    let table = home.path().join("tables/ours.toml");
    std::fs::create_dir(home.path().join("tables")).expect("a folder");
    succeed(Command::new("mkfifo").arg(&table));
    let pipe = answer(&mut home.run(named, &settings));
    assert!(pipe.stderr.contains("is no table"), "{}", pipe.stderr);
    std::fs::remove_file(&table).expect("a pipe can be removed");
    succeed(&mut home.pleach(["calibrate", "--ranks", "2", "--out", "tables/ours.toml"]));
    let told = succeed(home.run(named, &settings).args(["--steps", "2"]));
    let said = told.stdout + &told.stderr;
    assert!(said.contains("pleach (run)"), "{said}");
    assert!(!said.contains("not measured"), "{said}");
    let run = home.only_run();
    let text = std::fs::read_to_string(&table).expect("a table");
    let table = pleach_planner::hardware::parse(&text).expect("a table");
    let step = |folder| job::plan(folder).prediction.expect("a prediction").step_ps;
    let alone = step(&run);
    assert!(table.cores.is_some() && alone > 0);

    let two = ["--set", "cluster.gpus_per_node=2", "--set", "plan.dp=2"];
    let mut resume = home.pleach(["resume", "--no-progress", "--steps", "4"]);
    let told = succeed(resume.args(two).arg(&run));
    assert!(told.stderr.contains("dp 2"), "{}", told.stderr);
    assert_eq!(job::plan(&run).mesh.ranks(), 2);
    assert_eq!(job::losses(&run).len(), 4);
    assert_ne!(step(&run), alone);
}
