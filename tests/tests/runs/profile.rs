//! What a run's instructions took beside what its plan says: every instruction is there, and each collective stands under its group and size.

use std::path::Path;

use pleach_plan::Plan;
use pleach_tests::have;
use pleach_tests::job::{self, QUICKSTART, SHORT, Workspace, succeed};
use serde_json::Value;

const SPLIT: [&str; 6] = [
    "cluster.gpus_per_node=4",
    "plan.tp=2",
    "plan.pp=2",
    "plan.dp=1",
    "model.hidden=64",
    "model.heads=4",
];

#[test]
fn every_instruction_is_measured_and_collectives_stand_apart() {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    let settings = [&SHORT[..], &SPLIT].concat();
    let pleach = |arguments: &[&str]| home.pleach(arguments.to_vec());
    succeed(home.run(QUICKSTART, &settings).args(["--steps", "1"]));
    let run = home.only_run();
    let none = job::answer(pleach(&["profile"]).arg(&run));
    assert_eq!(none.code, Some(1), "{}", none.stderr);
    assert!(none.stderr.contains("pleach::profile::nothing"));

    succeed(pleach(&["resume", "--no-progress", "--steps", "6"]).arg(&run));
    let told = succeed(pleach(&["profile", "--json"]).arg(&run)).stdout;
    let told: Value = serde_json::from_str(&told).expect("it prints JSON");
    assert_eq!(
        told["steps"], 4,
        "the first step of an attempt does not count"
    );
    let plan = job::plan(&run);
    recorded(&run, &plan);
    let names = |part: &str| -> Vec<String> {
        let rows = told[part].as_array().expect("rows").iter();
        rows.map(|row| row["name"].as_str().expect("a name").to_owned())
            .collect()
    };
    let (operations, collectives) = (names("operations"), names("collectives"));
    for instr in plan.bodies.iter().flat_map(|body| &body.code) {
        let own = match instr.op.group() {
            Some(_) => &collectives,
            None => &operations,
        };
        assert!(
            own.iter().any(|name| name == instr.op.name()),
            "{:?}",
            instr.op
        );
    }
    let sum = |part: &str, figure: &str| -> f64 {
        let rows = told[part].as_array().expect("rows").iter();
        rows.map(|row| row[figure].as_f64().expect("a figure"))
            .sum()
    };
    let steps = job::metrics(&run);
    let seconds = steps
        .iter()
        .skip(2)
        .filter_map(|line| line["seconds"].as_f64());
    let spent = 4.0 * seconds.sum::<f64>() / 4.0;
    let measured = sum("operations", "measured_s") + sum("collectives", "measured_s");
    println!("{measured} s of {spent} s in instructions");
    assert!(measured <= spent && measured >= 0.5 * spent);
    assert!(sum("operations", "planned_s") > 0.0 && sum("collectives", "planned_s") > 0.0);
    let shown = succeed(pleach(&["profile"]).arg(&run)).stdout;
    assert!(shown.contains("linear_backward_weight") && shown.contains("communication"));
    only_of_the_last_placement(&home, &run, &told);
}

/// The record names the experiment, the placement, the order of the data and, for each attempt, the worker.
fn recorded(run: &Path, plan: &Plan) {
    let record = std::fs::read_to_string(run.join("record.json")).expect("the run has a record");
    let record: Value = serde_json::from_str(&record).expect("it is JSON");
    assert_eq!(record["mode"], "bitwise");
    assert_eq!(record["experiment_hash"], *plan.hashes.experiment);
    assert_eq!(record["placement_hash"], *plan.hashes.placement);
    assert_eq!(record["data_order"].as_str(), plan.data.order.as_deref());
    let worker = std::fs::read(have::worker().expect("it has run")).expect("it can be read");
    let worker = blake3::hash(&worker).to_hex();
    for attempt in record["attempts"].as_array().expect("attempts") {
        assert_eq!(attempt["worker"], worker.as_str());
    }
}

/// An attempt too short to measure keeps what there was; figures of another placement are not shown for this one's.
fn only_of_the_last_placement(home: &Workspace, run: &Path, told: &Value) {
    let go_on = |steps: &str, settings: &[&str]| {
        let mut command = home.pleach(["resume", "--no-progress", "--steps", steps]);
        command.args(settings.iter().flat_map(|setting| ["--set", setting]));
        succeed(command.arg(run));
    };
    go_on("7", &[]);
    let again = succeed(home.pleach(["profile", "--json"]).arg(run)).stdout;
    let again: Value = serde_json::from_str(&again).expect("it prints JSON");
    assert_eq!(again, *told);
    go_on("8", &["plan.pp=1", "plan.dp=2"]);
    let none = job::answer(home.pleach(["profile"]).arg(run));
    assert!(none.stderr.contains("another placement"), "{}", none.stderr);
}
