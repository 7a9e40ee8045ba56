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

/// What GPT-NeoX v1.0 and GPT-NeoX of May 2026 give at a step: a peak of 6e-4, an end of 6e-5, 1,430 steps of warm-up, 143,000 in all. Of each
/// schedule the beginning, the way, the end and what is beyond it.
const FACTS: [(&str, u64, f64, f64); 23] = [
    ("cosine", 0, 0.0, 4.195804195804195e-7),
    ("cosine", 1, 4.195804195804195e-7, 4.195804195804195e-7),
    ("cosine", 500, 2.097902097902098e-4, 2.097902097902098e-4),
    ("cosine", 1_431, 5.999999999276032e-4, 5.999999999335199e-4),
    ("cosine", 50_000, 4.448147910588709e-4, 4.577771771939524e-4),
    (
        "cosine",
        100_000,
        1.3192050158100237e-4,
        1.7387308050660708e-4,
    ),
    ("cosine", 142_000, 6.0e-5, 6.006647727786927e-5),
    ("cosine", 150_000, 6.0e-5, 6.325097528802492e-5),
    ("linear", 0, 0.0, 4.195804195804195e-7),
    ("linear", 1, 4.195804195804195e-7, 4.195804195804195e-7),
    ("linear", 1_431, 5.999958041958041e-4, 5.999957618139435e-4),
    ("linear", 50_000, 3.962097902097902e-4, 3.941513032422123e-4),
    ("linear", 142_000, 6.0e-5, 6.0e-5),
    ("linear", 150_000, 6.0e-5, 6.0e-5),
    ("exponential", 0, 0.0, 4.195804195804195e-7),
    (
        "exponential",
        1_431,
        5.999970923147378e-4,
        5.999970629442515e-4,
    ),
    (
        "exponential",
        100_000,
        3.7213037771577893e-4,
        3.70339134551979e-4,
    ),
    (
        "exponential",
        142_000,
        3.0423172222782325e-4,
        3.015165057509102e-4,
    ),
    (
        "exponential",
        150_000,
        3.0423172222782325e-4,
        2.899370762388077e-4,
    ),
    ("constant", 0, 0.0, 4.195804195804195e-7),
    ("constant", 1, 4.195804195804195e-7, 4.195804195804195e-7),
    ("constant", 500, 2.097902097902098e-4, 2.097902097902098e-4),
    ("constant", 150_000, 6.0e-4, 6.0e-4),
];

/// Holds a schedule of either version against a rate.
fn assert_rates(style: &str, figures: [f64; 4], step: u64, wanted: [f64; 2]) {
    let [peak, end, warmup, over] = figures;
    let fall = match style {
        "constant" => String::new(),
        _ => format!("end = {end}, over = {over} steps, "),
    };
    for (version, wanted) in ["neox_v1", "neox_2026"].into_iter().zip(wanted) {
        let lr = format!(
            "{style} {{ peak = {peak}, warmup = {warmup} steps, {fall}version = {version} }}"
        );
        let found = rate(&lr, step);
        assert!(
            (found - wanted).abs() <= 1e-12 * wanted.abs(),
            "{lr} at {step}: {found:e}, not {wanted:e}"
        );
    }
}

#[test]
fn known_rates_of_gpt_neox_are_met() {
    for (style, step, first, today) in FACTS {
        let figures = [6e-4, 6e-5, 1430.0, 143_000.0];
        assert_rates(style, figures, step, [first, today]);
    }
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
        let number = |key: &str| row[key].as_f64().unwrap();
        let figures = ["start", "min_lr", "warmup_iter", "end"].map(number);
        let (style, step) = (
            row["style"].as_str().unwrap(),
            row["iter"].as_u64().unwrap(),
        );
        assert_rates(style, figures, step, [number("v1_0"), number("head")]);
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
