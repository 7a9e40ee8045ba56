//! What a run writes of its steps: lines and TensorBoard's events with the same names, also across a run that went on; and the loss on what is
//! held out, which no placement changes and which changes no training.

use std::process::Command;

use pleach_storage::checkpoint::{Checkpoint, Kind};
use pleach_tests::have;
use pleach_tests::job::{self, QUICKSTART, SHORT, Workspace, spawn, succeed};
use serde_json::Value;
use xtask::{places, processes};

use super::compare::{Trained, same_bits};

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

const HELD_OUT: [&str; 4] = [
    "data.split=[90%, 10%]",
    "evaluate.every=8 steps",
    "evaluate.batches=3",
    "train.precision=fp64",
];

/// The steps after which the loss was measured, with it.
fn validation(run: &std::path::Path) -> Vec<(u64, f64)> {
    let lines = job::metrics(run).into_iter();
    let measured = lines.filter_map(|line| {
        let loss = line.get("validation_loss")?.as_f64()?;
        Some((line["step"].as_u64()?, loss))
    });
    measured.collect()
}

#[test]
fn the_loss_on_what_is_held_out_is_the_same_in_every_placement_and_changes_nothing() {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    let run = |placed: &[&str], held_out: &[&str]| {
        let away = home.beside();
        succeed(&mut away.run(QUICKSTART, &[&SHORT[..], placed, held_out].concat()));
        let trained = Trained::read(&away.only_run());
        let measured = validation(&trained.folder);
        (trained.checkpoint(20), trained.losses, measured)
    };
    let placed = ["plan.tp=2", "plan.pp=2", "cluster.gpus_per_node=4"];
    let sharded = [
        "plan.tp=1",
        "plan.pp=1",
        "plan.zero=3",
        "plan.recompute=full",
        "cluster.gpus_per_node=2",
    ];
    let (_, losses, alone) = run(&ONE, &HELD_OUT);
    let steps: Vec<u64> = alone.iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, [8, 16, 20]);
    assert!(alone[2].1 < alone[0].1, "it learns: {alone:?}");
    assert!(
        alone
            .iter()
            .all(|(step, loss)| *loss != losses[*step as usize - 1])
    );
    let (silent, ..) = run(&placed, &[HELD_OUT[0], HELD_OUT[3]]);
    let (measuring, _, staged) = run(&placed, &HELD_OUT);
    assert!(same_bits(&silent, &measuring));
    let (_, _, sharded) = run(&sharded, &HELD_OUT);
    for other in [staged, sharded] {
        assert_eq!(other.len(), alone.len());
        for ((_, one), (_, other)) in alone.iter().zip(other) {
            assert!((one - other).abs() < 1e-11 * one, "{one} {other}");
        }
    }
}

/// The norm of all parameters of a checkpoint.
fn norm(of: &Checkpoint) -> f64 {
    let square = |name: &str| -> f64 {
        let values = of.logical(name, Kind::Weight).expect("a parameter");
        values.iter().map(|value| value * value).sum()
    };
    of.parameters()
        .map(|(name, _)| square(name))
        .sum::<f64>()
        .sqrt()
}

#[test]
fn the_norm_of_parameters_counts_each_once_in_every_placement_and_use_is_of_the_peak() {
    if have::worker().is_none() {
        return;
    }
    let placements: [&[&str]; 4] = [
        &ONE,
        &["plan.tp=2", "plan.pp=2", "cluster.gpus_per_node=4"],
        &[
            "plan.tp=1",
            "plan.pp=1",
            "plan.zero=1",
            "cluster.gpus_per_node=2",
        ],
        &[
            "plan.tp=2",
            "plan.pp=1",
            "plan.zero=3",
            "cluster.gpus_per_node=4",
        ],
    ];
    let logging = [
        "log.to=[jsonl, tensorboard]",
        "log.what=[loss, param_norm, utilization]",
        "train.precision=fp64",
        "model.tied=true",
    ];
    let home = Workspace::new();
    let mut works = Vec::new();
    for placed in placements {
        let away = home.beside();
        let settings = [&SHORT[..], placed, &logging].concat();
        succeed(away.run(QUICKSTART, &settings).args(["--steps", "2"]));
        let trained = Trained::read(&away.only_run());
        let lines = job::metrics(&trained.folder);
        let figure = |line: &Value, name: &str| line[name].as_f64().expect("a figure");
        let (found, wanted) = (
            figure(&lines[1], "param_norm"),
            norm(&trained.checkpoint(2)),
        );
        assert!(
            (found - wanted).abs() < 1e-12 * wanted,
            "{placed:?}: {found} {wanted}"
        );
        let prediction = job::plan(&trained.folder).prediction;
        let useful = prediction.and_then(|own| own.useful).expect("a peak");
        for line in &lines {
            let (used, seconds) = (figure(line, "utilization"), figure(line, "seconds"));
            let wanted = useful.part(seconds);
            assert!((used / wanted - 1.0).abs() < 1e-9, "{used} {wanted}");
        }
        works.push((useful, job::plan(&trained.folder).mesh.ranks()));
    }
    let (whole, _) = works[0];
    for (useful, ranks) in works {
        let all = useful.flops * u64::from(ranks);
        assert!(all.abs_diff(whole.flops) <= u64::from(ranks), "{all}");
    }
}

#[test]
fn what_is_measured_is_the_cross_entropy_alone_whatever_is_trained_on() {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    let still = "train.lr=constant { peak = 1e-30, warmup = 0 steps }";
    let run = |placed: &[&str], loss: &str| {
        let away = home.beside();
        let settings = [&SHORT[..], &HELD_OUT, placed, &[still, loss]].concat();
        succeed(away.run(QUICKSTART, &settings).args(["--steps", "8"]));
        let folder = away.only_run();
        (job::losses(&folder)[0], validation(&folder)[0].1)
    };
    let more = "train.loss=cross_entropy { z_loss = 1e-2, label_smoothing = 10% }";
    let split = ["plan.tp=2", "plan.pp=1", "cluster.gpus_per_node=2"];
    let (trained, plain) = run(&ONE, "train.loss=cross_entropy {}");
    for placed in [&ONE[..], &split] {
        let (charged, measured) = run(placed, more);
        assert!(charged > trained + 1e-3, "{charged} {trained}");
        assert!(
            (measured - plain).abs() < 1e-11 * plain,
            "{measured} {plain}"
        );
    }
}

#[test]
fn a_run_that_is_asked_to_stop_while_it_measures_saves_and_measures_one_pass_at_most() {
    if have::worker().is_none() {
        return;
    }
    let endless = [
        "data.split=[50%, 50%]",
        "evaluate.every=3 steps",
        "evaluate.batches=1000000",
    ];
    let home = Workspace::new();
    let child = spawn(&mut home.run(QUICKSTART, &[&SHORT[..], &ONE, &endless].concat()));
    processes::wait_for_workers(child.id(), 1);
    processes::wait_until("two steps are done", || {
        (job::metrics(&home.only_run()).len() >= 2).then_some(())
    });
    std::thread::sleep(std::time::Duration::from_secs(2));
    processes::ask_to_stop(child.id());
    let output = child.wait_with_output().expect("pleach ends");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(75), "{text}");
    assert_eq!(job::metrics(&home.only_run()).len(), 3);
    let log = std::fs::read_to_string(home.only_run().join("log/rank-0.txt")).expect("a log");
    assert!(log.contains("these are measured, not 1000000"), "{log}");
    Trained::read(&home.only_run()).checkpoint(3);
}
