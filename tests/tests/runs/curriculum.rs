//! A blend in two phases, trained by real workers: what its report shows is what was dealt, and a run that ends in either phase goes on as if
//! it had not.

use std::path::Path;

use pleach_tests::have;
use pleach_tests::job::{self, Workspace, succeed};
use serde_json::Value;
use xtask::places;

use super::compare::{Trained, loss_difference, same_bits};

/// The blend of five components.
const MIX: &str = "examples/mix.pleach";

/// Fewer and smaller steps, in the same two phases.
const FEW: [&str; 4] = [
    "train.phases.short.lasts=6 steps",
    "train.phases.long.lasts=4 steps",
    "train.phases.short.global_batch=8 sequences",
    "train.phases.long.global_batch=4 sequences",
];

fn record(run: &Path) -> Value {
    let text = std::fs::read_to_string(run.join("record.json")).expect("a run has a record");
    serde_json::from_str(&text).expect("a record is JSON")
}

#[test]
fn five_components_in_two_phases_are_consumed_as_asked() {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    let answer = succeed(&mut home.run(MIX, &FEW));
    let run = home.only_run();
    let undisturbed = Trained::read(&run);
    assert_eq!(undisturbed.losses.len(), 10);
    for heading in [
        "phase short, steps 0..6 of 6",
        "phase long, steps 6..10 of 10",
    ] {
        assert!(answer.stdout.contains(heading), "{}", answer.stdout);
    }

    let mut shown = home.pleach(["data", "mix", "--json"]);
    shown.arg(places::root().join(MIX));
    shown.args(FEW.iter().flat_map(|setting| ["--set", setting]));
    let shown: Value = serde_json::from_str(&succeed(&mut shown).stdout).expect("it is JSON");
    assert_eq!(shown["order"], undisturbed.order.as_str());
    let consumed = record(&run)["consumed"].as_array().expect("a list").clone();
    let components = shown["components"].as_array().expect("a list");
    assert_eq!((consumed.len(), components.len()), (10, 10));
    for (recorded, shown) in consumed.iter().zip(components) {
        for field in ["phase", "name", "asked", "samples", "tokens", "epochs"] {
            assert_eq!(recorded[field], shown[field], "{field}");
        }
        let (asked, samples) = (recorded["asked"].as_f64(), recorded["samples"].as_f64());
        let of_phase = if recorded["phase"] == "short" {
            48.0
        } else {
            16.0
        };
        let owed = asked.expect("a share") * of_phase;
        assert!((samples.expect("a count") - owed).abs() < 1.0, "{recorded}");
    }

    for stop in ["3", "6", "8"] {
        let away = home.beside();
        succeed(away.run(MIX, &FEW).args(["--steps", stop]));
        let run = away.only_run();
        assert_eq!(job::losses(&run).len().to_string(), stop);
        succeed(away.pleach(["resume", "--no-progress"]).arg(&run));
        let resumed = Trained::read(&run);
        assert_eq!(resumed.losses, undisturbed.losses, "stopped after {stop}");
        let whole = [&undisturbed, &resumed].map(|run| run.checkpoint(10));
        assert!(same_bits(&whole[0], &whole[1]), "stopped after {stop}");
    }
}

#[test]
fn phases_go_on_under_another_placement() {
    if have::worker().is_none() {
        return;
    }
    let few = [&FEW[..], &["train.precision=fp64"]].concat();
    let home = Workspace::new();
    succeed(&mut home.run(MIX, &few));
    let alone = Trained::read(&home.only_run());
    let away = home.beside();
    succeed(away.run(MIX, &few).args(["--steps", "3"]));
    let run = away.only_run();
    for (steps, pins) in [
        ("8", ["plan.dp=2", "plan.tp=1"]),
        ("10", ["plan.dp=1", "plan.tp=2"]),
    ] {
        let mut resume = away.pleach(["resume", "--no-progress", "--steps", steps]);
        resume.arg(&run).args(["--set", "cluster.gpus_per_node=2"]);
        succeed(resume.args(pins.iter().flat_map(|pin| ["--set", pin])));
    }
    let moved = Trained::read(&run);
    assert_eq!(moved.order, alone.order);
    let losses = loss_difference(&moved.losses, &alone.losses);
    assert!(losses <= 1e-12, "losses differ by {losses:e}");
}

#[test]
fn what_is_read_too_often_is_said() {
    let home = Workspace::new();
    let text =
        "a line of text that is read again and again, much more often than anybody would like\n";
    std::fs::create_dir(home.path().join("corpus")).expect("a folder");
    std::fs::write(home.path().join("corpus/a.txt"), text.repeat(20)).expect("a file");
    let spec = std::fs::read_to_string(places::root().join(MIX)).expect("the example");
    let (head, rest) = spec.split_once("dataset blend {").expect("its data");
    let (_, experiment) = rest
        .split_once("\nexperiment mix {")
        .expect("its experiment");
    let own = "dataset blend { source = \"file:corpus\", tokenizer = \"bytes\", repeat = 2 }\n\
               dataset later extends blend { repeat = 100 }\n\nexperiment mix {";
    std::fs::write(
        home.path().join("small.pleach"),
        format!("{head}{own}{experiment}"),
    )
    .expect("a spec");
    let mut mix = home.pleach(["data", "mix", "small.pleach"]);
    let answer = succeed(mix.args(FEW.iter().flat_map(|setting| ["--set", setting])));
    assert!(
        answer
            .stderr
            .contains("by the end of `short`, the spec allows 2"),
        "{}",
        answer.stderr
    );
    assert!(
        !answer.stderr.contains("by the end of `long`"),
        "{}",
        answer.stderr
    );
}
