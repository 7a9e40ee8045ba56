//! What a run writes of its steps: lines and TensorBoard's events with the same names, also across a run that went on.

use std::process::Command;

use pleach_tests::have;
use pleach_tests::job::{self, QUICKSTART, SHORT, Workspace, succeed};
use serde_json::Value;
use xtask::places;

const ONE: [&str; 3] = ["cluster.gpus_per_node=1", "plan.tp=1", "plan.pp=1"];

#[test]
fn tensorboard_reads_what_the_lines_say() {
    let Some(python) = have::python().filter(|_| have::worker().is_some()) else {
        return;
    };
    let logging = [
        "log.to=[jsonl, tensorboard]",
        "log.every=2 steps",
        "log.what=[loss, lr]",
    ];
    let settings = [&SHORT[..], &ONE[..], &logging[..]].concat();
    let home = Workspace::new();
    succeed(home.run(QUICKSTART, &settings).args(["--steps", "7"]));
    let run = home.only_run();
    succeed(home.pleach(["resume", "--no-progress"]).arg(&run));

    let lines = job::metrics(&run);
    let mut reader = Command::new(python);
    reader
        .arg(places::root().join("tests/python/events.py"))
        .arg(run.join("tensorboard"));
    let read: Value = serde_json::from_str(&succeed(&mut reader).stdout).expect("it prints JSON");
    let names: Vec<&String> = read.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["loss", "lr", "samples", "seconds"]);
    for name in ["loss", "lr", "samples"] {
        let points = read[name].as_array().expect("points");
        assert_eq!(points.len(), lines.len(), "{name}");
        for (point, line) in points.iter().zip(&lines) {
            assert_eq!(point[0], line["step"], "{name}");
            let [one, other] =
                [&point[1], &line[name]].map(|value| value.as_f64().expect("a number"));
            assert!(
                (one - other).abs() <= 1e-6 * other.abs(),
                "{name}: {one} {other}"
            );
        }
    }
    let steps: Vec<u64> = lines
        .iter()
        .filter_map(|line| line["step"].as_u64())
        .collect();
    assert_eq!(steps, [2, 4, 6, 7, 8, 10, 12, 14, 16, 18, 20]);
    assert!(lines.iter().all(|line| line.get("grad_norm").is_none()));
}
