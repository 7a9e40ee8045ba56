//! A run goes on under any other placement, on any number of ranks: with the state that was saved, bit by bit, and the samples that come next.
//!
//! One run is walked through all ordered pairs of six placements, a step in each; every worker writes the state that it begins with, which must
//! be what the step before it saved. Then what a user meets: the screen, what is refused, and crashes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pleach_storage::checkpoint::{Checkpoint, folder_name};
use pleach_tests::have;
use pleach_tests::job::{Answer, Workspace, answer, spawn, succeed};
use serde_json::Value;
use xtask::processes;

use super::compare::{Trained, loss_difference, same_bits};
use super::small::{Small, resume};

const SMALL: Small = Small {
    steps: 31,
    precision: "fp64",
    checkpoints: [1, 40],
    ranks: 1,
};

/// What each placement pins, and on how many ranks.
const PLACEMENTS: [(&str, [&str; 5]); 6] = [
    ("1", ["tp=1", "pp=1", "dp=1", "zero=0", "recompute=none"]),
    (
        "2",
        ["tp=2", "pp=1", "dp=1", "zero=0", "recompute=selective"],
    ),
    ("2", ["tp=1", "pp=2", "dp=1", "zero=0", "recompute=none"]),
    ("2", ["tp=1", "pp=1", "dp=2", "zero=1", "recompute=full"]),
    ("2", ["tp=1", "pp=1", "dp=2", "zero=3", "recompute=none"]),
    ("4", ["tp=2", "pp=2", "dp=1", "zero=0", "recompute=full"]),
];

/// The settings of a placement.
fn placed(place: usize) -> Vec<String> {
    let (ranks, pins) = PLACEMENTS[place];
    let pins = pins.iter().map(|pin| format!("plan.{pin}"));
    let cluster = format!("cluster.gpus_per_node={ranks}");
    pins.chain([cluster, "plan.micro_batch=1 sequences".to_owned()])
        .collect()
}

/// A walk over places that goes from each to each other one, once.
fn walk(places: usize) -> Vec<usize> {
    let mut unused: Vec<Vec<usize>> = (0..places)
        .map(|from| (0..places).filter(|to| *to != from).collect())
        .collect();
    let (mut path, mut walk) = (vec![0], Vec::new());
    while let Some(&from) = path.last() {
        match unused[from].pop() {
            Some(to) => path.push(to),
            None => walk.extend(path.pop()),
        }
    }
    walk
}

/// `pleach run` of the small model.
fn begin<S: AsRef<str>>(home: &Workspace, settings: &[S]) -> Command {
    SMALL.run(home, settings)
}

fn opened(folder: &Path, step: u64) -> Checkpoint {
    Checkpoint::open(&folder.join(folder_name(step))).unwrap_or_else(|error| panic!("{error}"))
}

fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).expect("the file is there");
    serde_json::from_str(&text).expect("it is JSON")
}

/// Walks a run through all pairs, and holds its losses against those of one rank that was left alone.
fn through_all_pairs(precision: &str, bound: f64) {
    if have::worker().is_none() {
        return;
    }
    let precision = format!("train.precision={precision}");
    let settings = |place: usize| [placed(place), vec![precision.clone()]].concat();
    let walk = walk(PLACEMENTS.len());
    assert_eq!(walk.len(), 31, "all pairs, one behind the other");
    let home = Workspace::new();
    succeed(&mut begin(&home, &settings(0)));
    let alone = Trained::read(&home.only_run());

    let away = home.beside();
    let begun = away.path().join("begun");
    succeed(begin(&away, &settings(walk[0])).args(["--steps", "1"]));
    for (done, places) in walk.windows(2).enumerate() {
        let (done, step) = (done as u64 + 1, (done + 2).to_string());
        let mut command = resume(&away, &placed(places[1]));
        command.args(["--steps", &step]);
        succeed(command.env("PLEACH_DUMP_STATE", &begun));
        let run = away.only_run();
        let [saved, loaded] = [run.join("checkpoints"), begun.clone()].map(|it| opened(&it, done));
        assert_ne!(
            saved.manifest.placement_hash,
            loaded.manifest.placement_hash
        );
        assert!(
            same_bits(&saved, &loaded),
            "{places:?}: the state is another"
        );
    }
    let run = Trained::read(&away.only_run());
    assert_eq!(run.order, alone.order);
    let losses = loss_difference(&run.losses, &alone.losses);
    println!("{precision}: losses {losses:.1e}");
    assert!(losses <= bound, "losses differ by {losses:e}");
    history(&run.folder, &walk);
}

/// Every attempt says what it ran, and that is still there.
fn history(run: &Path, walk: &[usize]) {
    let record = json(&run.join("record.json"));
    let attempts = record["attempts"].as_array().expect("attempts");
    assert_eq!(attempts.len(), walk.len());
    let hash = |value: &Value| value.as_str().expect("a hash").to_owned();
    let mut ran: Vec<Option<String>> = vec![None; PLACEMENTS.len()];
    for (attempt, place) in attempts.iter().zip(walk) {
        let found = hash(&attempt["placement_hash"]);
        let own = ran[*place].get_or_insert_with(|| found.clone());
        assert_eq!(*own, found, "one placement is one plan");
    }
    let last = ran[walk[walk.len() - 1]].clone();
    assert_eq!(Some(hash(&record["placement_hash"])), last);
    for own in ran.into_iter().flatten() {
        let kept = run.join("plans").join(&own[..12]);
        assert!(kept.with_extension("pleach").is_file());
        let plan = json(&kept.with_extension("json"));
        assert_eq!(hash(&plan["hashes"]["placement"]), own);
    }
}

#[test]
fn through_all_pairs_of_placements_in_fp64() {
    through_all_pairs("fp64", 1e-12);
}

/// Roundings to 8 bits, at other places under each placement: the bound of `matrix.rs`, for losses of twice its smallest.
#[test]
fn through_all_pairs_of_placements_in_bf16() {
    through_all_pairs("bf16", 1.0 / 256.0);
}

/// What was said, with figures that a machine decides as `…`.
fn said(answer: &Answer) -> String {
    let text = answer
        .stderr
        .lines()
        .filter(|line| !line.contains("data order") && !line.contains("is not measured"));
    let figure = |line: &str| match line.trim_start().split_once(' ') {
        Some((name @ ("step" | "memory"), _)) => format!("  {name:<11}…"),
        _ => line.to_owned(),
    };
    let lines: Vec<String> = text.map(figure).collect();
    lines.join("\n").trim_end().to_owned()
}

/// A run of six steps on one rank, whose last checkpoint is taken away.
fn six_steps(home: &Workspace) -> PathBuf {
    succeed(begin(home, &placed(0)).args(["--steps", "6"]));
    let run = home.only_run();
    for step in [5, 6] {
        let folder = run.join("checkpoints").join(folder_name(step));
        fs::remove_dir_all(folder).expect("the checkpoint is there");
    }
    run
}

#[test]
fn the_screen_says_what_goes_on_what_is_kept_and_what_is_done_again() {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    let run = six_steps(&home);
    let plain = said(&succeed(resume(&home, &placed(3)).args(["--steps", "7"])));
    let wanted = "  placement  2 ranks: tp 1 x pp 1 x dp 2, zero 1, 2 x 1 sequences, recompute
             full
  was        1 rank: tp 1 x pp 1 x dp 1, zero 0, 4 x 1 sequences, recompute none
  step       …
  memory     …
  going on   after step 4 of 31, from checkpoints/step-000004; the next sample
             is number 16
  kept       weights, moments
  done again steps 5 to 6; 2 lines of metrics.jsonl are cut off
the data `letters` is as it was prepared for this plan; file:letters.txt is not read again";
    assert_eq!(plain, wanted);
    assert_eq!(Trained::read(&run).losses.len(), 7);

    let last = run.join("checkpoints").join(folder_name(7));
    fs::remove_dir_all(last).expect("the checkpoint is there");
    let answer = succeed(resume(&home, &placed(1)).args(["--steps", "8", "--json"]));
    let told: Value = serde_json::from_str(&answer.stdout).expect("an object");
    let told = &told["resumed"];
    assert_eq!((&told["step"], &told["sample"]), (&6.into(), &24.into()));
    assert_eq!(told["again"], serde_json::json!([7, 7]));
    assert_eq!(
        (&told["before"]["dp"], &told["placement"]["dp"]),
        (&2.into(), &1.into())
    );
}

#[test]
fn what_would_be_another_experiment_is_refused_with_a_command_that_begins_it() {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    let run = six_steps(&home);
    let before = fs::read(run.join("plan.json")).expect("a plan");
    let other = ["train.lr.peak=2e-2", "model.layers=3", "plan.pp=1"];
    let refused = answer(resume(&home, &other).arg("--json"));
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    let told: Value = serde_json::from_str(&refused.stderr).expect("diagnostics");
    assert_eq!(told[0]["code"], "pleach::run::other_experiment");
    let message = told[0]["message"].as_str().expect("a message");
    for part in ["model.layers: 2 → 3", "train.lr.peak: 0.01 → 0.02"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(!message.contains("plan.pp"), "{message}");
    assert_eq!(fs::read(run.join("plan.json")).ok(), Some(before));
    assert!(!run.join("plans").exists(), "nothing was changed");

    let help = told[0]["help"].as_str().expect("a help");
    let command = help.split('`').find(|part| part.starts_with("pleach run"));
    let command = command.expect("a command").trim_start_matches("pleach");
    let script = format!(
        "{} {command} --yes --no-progress --steps 1",
        have::pleach().display()
    );
    succeed(&mut home.shell(&script));
    let runs = fs::read_dir(home.path().join("runs")).expect("runs");
    assert_eq!(runs.count(), 2, "a new run has begun: {help}");
}

#[test]
fn a_killed_run_goes_on_under_another_placement() {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    succeed(&mut begin(&home, &placed(0)));
    let alone = Trained::read(&home.only_run());
    let away = home.beside();
    let fallen = answer(begin(&away, &placed(5)).env("PLEACH_KILL_AT", "2:9:40"));
    assert_eq!(fallen.code, Some(10), "{}", fallen.stderr);
    // What it trains on stays what it was when it began.
    fs::write(
        away.path().join("letters.txt"),
        "other letters ".repeat(400),
    )
    .expect("a file");
    let fallen = answer(resume(&away, &placed(4)).env("PLEACH_KILL_AT", "1:15:40"));
    assert_eq!(fallen.code, Some(10), "{}", fallen.stderr);
    succeed(&mut resume(&away, &placed(1)));
    let run = Trained::read(&away.only_run());
    let losses = loss_difference(&run.losses, &alone.losses);
    assert!(losses <= 1e-12, "losses differ by {losses:e}");
}

/// Kills `pleach` while it puts another plan in its place: what was written then is a state between the two.
#[test]
fn a_crash_between_spec_and_plan_leaves_a_run_that_goes_on() {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    let run = six_steps(&home);
    let [spec, plan] = ["spec.pleach", "plan.json"].map(|name| run.join(name));
    let old = [&spec, &plan].map(|path| fs::read(path).expect("the file is there"));
    succeed(resume(&home, &placed(1)).args(["--steps", "5"]));
    // The spec was written and the plan was not.
    fs::write(&plan, &old[1]).expect("the file can be written");
    let plain = succeed(resume(&home, &[] as &[&str]).args(["--steps", "6"]));
    assert!(plain.stderr.contains("1 rank: tp 1"), "{}", plain.stderr);
    assert!(!plain.stderr.contains("not verified"), "{}", plain.stderr);
    let again = succeed(resume(&home, &["checkpoints.keep=30"]).args(["--steps", "7"]));
    assert!(again.stderr.contains("2 ranks: tp 2"), "{}", again.stderr);
    // Not even the spec was, and the earlier plan was kept already.
    fs::write(&spec, &old[0]).expect("the file can be written");
    fs::write(&plan, &old[1]).expect("the file can be written");
    succeed(resume(&home, &placed(3)).args(["--steps", "8"]));
    assert_eq!(Trained::read(&run).losses.len(), 8);
}

#[test]
fn run_with_resume_goes_on_under_what_the_spec_asks_for_now() {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    let run = six_steps(&home);
    let going = |place: usize, steps: &str| {
        let mut command = begin(&home, &placed(place));
        answer(command.args(["--resume", "--steps", steps]))
    };
    let other = going(1, "7");
    assert_eq!(other.code, Some(0), "{}", other.stderr);
    assert!(
        other.stderr.contains("it goes on under this one"),
        "{}",
        other.stderr
    );
    assert!(
        other.stderr.contains("was        1 rank: tp 1"),
        "{}",
        other.stderr
    );
    let same = going(1, "8");
    assert!(!same.stderr.contains("was        "), "{}", same.stderr);
    assert_eq!(home.only_run(), run, "no other folder was made");
    let kept = fs::read_to_string(run.join("spec.pleach")).expect("a spec");
    assert!(kept.contains("# --set plan.tp=2"), "{kept}");
    succeed(resume(&home, &["plan.tp=1", "plan.dp=2"]).args(["--steps", "9"]));
    let kept = fs::read_to_string(run.join("spec.pleach")).expect("a spec");
    assert!(
        kept.contains("# --set plan.tp=1") && !kept.contains("# --set plan.tp=2"),
        "{kept}"
    );
}

#[test]
fn a_torn_last_line_is_cut_and_damage_is_named_before_a_worker_starts() {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    let run = six_steps(&home);
    let (metrics, record) = (run.join("metrics.jsonl"), run.join("record.json"));
    let whole = fs::read_to_string(&metrics).expect("metrics");
    let refused = || {
        let refused = answer(resume(&home, &[] as &[&str]).arg("--json"));
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        let told: Value = serde_json::from_str(&refused.stderr).expect("diagnostics");
        assert_eq!(told[0]["code"], "pleach::run::damaged");
        assert_eq!(fs::read_dir(run.join("log")).expect("logs").count(), 1);
        let part = |name: &str| told[0][name].as_str().expect("a text").to_owned();
        [part("message"), part("help")]
    };
    let follow = |help: &str| {
        let command = help.split('`').nth(1).expect("a command");
        succeed(&mut home.shell(command));
    };
    fs::write(&metrics, whole.replacen("\"step\":2", "\"step\":\u{0}", 1)).expect("a file");
    let [message, help] = refused();
    assert!(message.contains("metrics.jsonl: line 2"), "{message}");
    follow(&help);
    fs::write(&record, "{\"schema\":").expect("a file");
    let [message, help] = refused();
    assert!(message.contains("record.json"), "{message}");
    follow(&help);
    let torn = fs::read_to_string(&metrics).expect("metrics") + "{\"step\":7,\"lo";
    fs::write(&metrics, torn).expect("a file");
    let plain = succeed(resume(&home, &[] as &[&str]).args(["--steps", "6"]));
    assert!(
        plain
            .stderr
            .contains("2 lines of metrics.jsonl are cut off"),
        "{}",
        plain.stderr
    );
    let text = fs::read_to_string(&metrics).expect("metrics");
    assert_eq!(
        text.lines().count(),
        5,
        "the lines of steps 1, 3, 4, 5 and 6"
    );
}

#[test]
fn a_plan_for_gpus_that_are_not_here_is_refused_with_settings_that_work() {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    let cluster = "cluster=a100_40g { nodes = 1, gpus_per_node = 2 }";
    let settings = [cluster, "plan.dp=2", "checkpoints.every=2 steps"];
    let mut first = begin(&home, &settings);
    first.env("PLEACH_DEVICE", "cpu").args(["--steps", "2"]);
    succeed(&mut first);
    let run = home.only_run();
    let refused = answer(resume(&home, &[] as &[&str]).arg("--json"));
    let told: Value = serde_json::from_str(&refused.stderr).expect("diagnostics");
    assert_eq!(told[0]["code"], "pleach::run::gpus", "{}", refused.stderr);
    let help = told[0]["help"].as_str().expect("a help");
    let command = help.split('`').nth(1).expect("a command");
    let command = command.trim_start_matches("pleach");
    let script = format!("{} {command} --yes --steps 3", have::pleach().display());
    succeed(&mut home.shell(&script));
    assert_eq!(Trained::read(&run).losses.len(), 3);
}

#[test]
fn two_cannot_put_a_plan_into_one_folder() {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    let long = [&placed(0)[..], &["train.steps=100_000 steps".to_owned()]].concat();
    let child = spawn(&mut begin(&home, &long));
    processes::wait_for_workers(child.id(), 1);
    let plan = fs::read(home.only_run().join("plan.json")).expect("a plan");
    let refused = answer(&mut resume(&home, &placed(1)));
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("pleach::run::locked"),
        "{}",
        refused.stderr
    );
    assert_eq!(fs::read(home.only_run().join("plan.json")).ok(), Some(plan));
    processes::ask_to_stop(child.id());
    child.wait_with_output().expect("pleach ends");
}
