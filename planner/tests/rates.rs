//! The rate of every step, from the text of a spec to the plan's schedule, against what GPT-NeoX computes.
// The vectors of GPT-NeoX lie outside of the project.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::path::Path;

use pleach_planner::rate::{of_step, schedule};
use serde_json::Value;

const SPEC: &str = include_str!("common/small.pleach");

/// The rates of a schedule as a spec writes it.
fn rate(lr: &str, step: u64) -> f64 {
    let changes = [("train.steps", "143_000 steps"), ("train.lr", lr)];
    let changes = changes.map(|(path, value)| (path.to_owned(), value.to_owned()));
    let files = BTreeMap::from([("small.pleach".to_owned(), SPEC.to_owned())]);
    let loaded = pleach_dsl::load("small.pleach", &files, &changes, None);
    let problems = loaded.problems.render(false);
    let experiment = loaded
        .experiment
        .unwrap_or_else(|| panic!("{lr}\n{problems}"));
    schedule(&experiment.train).rate(step)
}

#[test]
fn the_versions_of_gpt_neox_give_its_own_numbers() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/vectors/lr_schedules.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: {} is not there", path.display());
        return;
    };
    let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(rows.len() > 40, "{} rows", rows.len());
    for row in &rows {
        let style = row["style"].as_str().unwrap();
        let number = |key: &str| row[key].as_f64().unwrap();
        let fall = match style {
            "constant" => String::new(),
            _ => format!("end = {}, over = {} steps, ", row["min_lr"], row["end"]),
        };
        for (version, column) in [("neox_v1", "v1_0"), ("neox_2026", "head")] {
            let lr = format!(
                "{style} {{ peak = {}, warmup = {} steps, {fall}version = {version} }}",
                row["start"], row["warmup_iter"]
            );
            let (wanted, step) = (number(column), row["iter"].as_u64().unwrap());
            let found = rate(&lr, step);
            assert!(
                (found - wanted).abs() <= 1e-12 * wanted.abs(),
                "{lr} at {step}: {found:e}, not {wanted:e}"
            );
        }
    }
}

#[test]
fn plain_schedules_end_with_the_run() {
    for (lr, last) in [
        ("cosine { peak = 1e-3 }", 1e-4),
        ("linear { peak = 1e-3 }", 0.0),
        ("exponential { peak = 1e-3, end = 1e-5 }", 1e-5),
        ("wsd { peak = 1e-3, end = 1e-4 }", 1e-4),
        ("constant { peak = 1e-3, warmup = 1% of steps }", 1e-3),
    ] {
        assert!((rate(lr, 0) - 1e-3 / 1430.0).abs() < 1e-18, "{lr}");
        assert!((rate(lr, 1429) - 1e-3).abs() < 1e-18, "{lr}");
        assert!((rate(lr, 142_999) - last).abs() < 1e-18, "{lr}");
        assert!((rate(lr, 200_000) - last).abs() < 1e-18, "{lr}");
    }
    let decay = "wsd { peak = 1e-3, decay = last(10% of steps) }";
    assert_eq!(rate(decay, 128_699), 1e-3);
    assert!((rate(decay, 135_849) - 5e-4).abs() < 1e-12);
}

/// The training of the small experiment with a rate of its own and these phases.
fn staged(lr: &str, rows: &str) -> pleach_dsl::experiment::Train {
    let train = "steps        = 10 steps\n    global_batch = 8 sequences";
    assert!(SPEC.contains(train));
    let phases = format!("global_batch = 8 sequences\n    phases = table {{\n{rows}\n}}");
    let text = SPEC.replace(train, &phases);
    let lines = text.lines();
    let lines = lines.map(|line| match line.trim_start().starts_with("lr  ") {
        true => lr,
        false => line,
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    let files = BTreeMap::from([("small.pleach".to_owned(), text.clone())]);
    let loaded = pleach_dsl::load("small.pleach", &files, &[], None);
    let problems = loaded.problems.render(false);
    let experiment = loaded
        .experiment
        .unwrap_or_else(|| panic!("{text}\n{problems}"));
    experiment.train
}

#[test]
fn a_phase_begins_where_the_last_one_ended() {
    let rows = "
        name    | lasts     | lr
        warm    | 10 steps  | linear { to = 1e-3 }
        main    | 100 steps | cosine { to = 1e-4 }
        stretch | 50 steps  | -
        hold    | 20 steps  | constant
        jump    | 10 steps  | constant { at = 5e-4 }
        anneal  | 40 steps  | linear { to = 0 }";
    let train = staged("", rows);
    assert_eq!(train.lr, None);
    assert_eq!(train.steps, 230);
    let rate = |step| of_step(&train, step);
    let near = |step, wanted: f64| {
        let found = rate(step);
        assert!(
            (found - wanted).abs() < 1e-15,
            "{step}: {found:e}, not {wanted:e}"
        );
    };
    near(0, 1e-4);
    near(9, 1e-3);
    // One cosine over the two phases: half way after 75 of 150 steps, and nothing happens where the second of them begins.
    near(84, 5.5e-4);
    near(159, 1e-4);
    assert!(rate(109) > rate(110) && rate(110) > rate(111));
    near(160, 1e-4);
    near(179, 1e-4);
    near(180, 5e-4);
    near(190, 5e-4 * 39.0 / 40.0);
    near(229, 0.0);
    near(500, 0.0);
}

#[test]
fn phases_that_say_nothing_follow_the_rate_of_the_run() {
    let rows = "
        name | lasts     | lr
        main | 150 steps | -
        more | 50 steps  | -
        end  | 100 steps | linear { to = 0 }";
    let train = staged("lr = cosine { peak = 1e-3, warmup = 10 steps }", rows);
    let whole = schedule(&train);
    for step in [0, 9, 10, 149, 150, 199] {
        assert_eq!(of_step(&train, step), whole.rate(step), "{step}");
    }
    let from = whole.rate(199);
    assert!((of_step(&train, 249) - from / 2.0).abs() < 1e-15);
    assert_eq!(of_step(&train, 299), 0.0);
}
