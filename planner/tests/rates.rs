//! The rate of every step, from the text of a spec to the plan's schedule, against what GPT-NeoX computes.
// The vectors of GPT-NeoX lie outside of the project.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::path::Path;

use pleach_planner::rate::schedule;
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
    schedule(&experiment.train.lr).rate(step)
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
