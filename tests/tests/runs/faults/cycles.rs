//! Killed and resumed over and over, any process at any moment: the run that comes out of it has the bits of one that was left alone.
//!
//! The suite tries a few cycles; `cargo xtask verify --faults` tries 200 (`PLEACH_CYCLES`), with a seed that it prints (`PLEACH_SEED`).

use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use pleach_tests::have;
use pleach_tests::job::{Workspace, spawn};
use xtask::processes;

use super::{Chance, assert_same, resume, run, saved, undisturbed};

/// How long a run is: its steps then take as long as its start.
const STEPS: &str = "train.steps=120 steps";

/// What is run: replicas, split matrices, stages, sharded optimizers, and saving beside training.
const PLACEMENTS: [&[&str]; 5] = [
    &["plan.dp=2", "plan.zero=0"],
    &["plan.tp=2"],
    &["plan.pp=2", "checkpoints.background=true"],
    &["plan.dp=2", "plan.zero=1", "checkpoints.background=true"],
    &["plan.dp=2", "plan.zero=2"],
];

fn number(name: &str, otherwise: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(otherwise, |text| text.parse().expect("a number"))
}

/// When a run is disturbed.
#[derive(Clone, Copy, Debug)]
enum When {
    /// So long after it was started, wherever it is then.
    Started(Duration),
    /// So long after its first step.
    Training(Duration),
    /// It is left alone, or kills itself.
    Never,
}

/// Waits for the moment; a run that ends before is not waited for any more.
fn wait_for(when: When, home: &Workspace, child: &mut Child) {
    let size = || {
        let metrics = metrics(home)?.metadata().ok()?;
        Some(metrics.len())
    };
    let (mut since, before) = (Instant::now(), size());
    let mut ended = || child.try_wait().expect("it can be asked").is_some();
    if let When::Training(_) = when {
        while size() == before && !ended() {
            std::thread::sleep(Duration::from_millis(1));
        }
        since = Instant::now();
    }
    let after = match when {
        When::Started(after) | When::Training(after) => after,
        When::Never => Duration::MAX,
    };
    while since.elapsed() < after && !ended() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The metrics of the only run, once there is one.
fn metrics(home: &Workspace) -> Option<PathBuf> {
    let mut runs = std::fs::read_dir(home.path().join("runs")).ok()?;
    Some(runs.next()?.ok()?.path().join("metrics.jsonl"))
}

/// Kills a rank of a run, or its launcher, whose workers end with it, at a moment; says whether the run ended before.
fn disturb(home: &Workspace, mut child: Child, when: When, victim: u64) -> bool {
    wait_for(when, home, &mut child);
    let workers = processes::workers(child.id());
    if child.try_wait().expect("it can be asked").is_none() {
        match workers
            .iter()
            .find(|worker| u64::from(worker.rank) == victim)
        {
            Some(worker) => processes::kill(worker.pid),
            None => child.kill().expect("pleach can be killed"),
        }
    }
    let status = child.wait().expect("pleach ends");
    processes::wait_until("no worker is left", || {
        let left = workers
            .iter()
            .any(|worker| processes::is_running(worker.pid));
        (!left).then_some(())
    });
    assert!(matches!(status.code(), None | Some(0 | 10)), "{status}");
    status.success()
}

/// A moment, and what the workers are told: half of the kills come while it trains or saves, a quarter at an instruction, the rest whenever.
fn moment(chance: &mut Chance, longest: Duration, done: u64) -> (When, Option<String>) {
    match chance.below(4) {
        0 => (
            When::Started(longest.mul_f64(chance.below(1000) as f64 / 1000.0)),
            None,
        ),
        1 => {
            let (rank, step) = (chance.below(2), done + 1 + chance.below(16));
            let at = format!("{rank}:{step}:{}", chance.below(40));
            (When::Never, Some(at))
        }
        _ => (
            When::Training(Duration::from_millis(chance.below(1000))),
            None,
        ),
    }
}

/// So many kills of runs of one placement, each gone on from until it ends.
fn cycles(settings: &[&str], count: u64, chance: &mut Chance) -> String {
    let settings = [settings, &[STEPS]].concat();
    let begin = Instant::now();
    let (home, whole) = undisturbed(&settings);
    let longest = begin.elapsed();
    let (mut killed, mut runs, mut reached) = (0, 0, Vec::new());
    while killed < count {
        let (away, mut done) = (home.beside(), 0);
        loop {
            let begun = metrics(&away).is_some();
            let mut command = if begun {
                resume(&away)
            } else {
                run(&away, &settings)
            };
            let (when, at) = match killed < count {
                true => moment(chance, longest, done),
                false => (When::Never, None),
            };
            let described = format!("{when:?} {at:?}");
            command.envs(at.map(|at| ("PLEACH_KILL_AT", at)));
            let child = spawn(&mut command);
            if disturb(&away, child, when, chance.below(3)) {
                println!("{described}: it ended");
                break;
            }
            killed += 1;
            let newest =
                metrics(&away).map_or(0, |_| saved(&away.only_run()).last().copied().unwrap_or(0));
            assert!(
                newest >= done,
                "a checkpoint was lost: {newest} after {done}"
            );
            done = newest;
            println!("{described}: behind step {done}");
            reached.push(done);
        }
        runs += 1;
        assert_same(&whole, &away.only_run());
    }
    format!("{settings:?}: {killed} kills in {runs} runs, behind steps {reached:?}")
}

#[test]
fn killed_and_resumed_over_and_over_ends_with_the_same_bits() {
    if have::worker().is_none() {
        return;
    }
    let count = number("PLEACH_CYCLES", 6);
    let seed = number("PLEACH_SEED", 1);
    let mut chance = Chance(seed);
    println!("seed {seed}, {count} cycles");
    let placements = PLACEMENTS.len() as u64;
    let used = if count < 4 * placements {
        &PLACEMENTS[3..4]
    } else {
        &PLACEMENTS[..]
    };
    for settings in used {
        let told = cycles(settings, count.div_ceil(used.len() as u64), &mut chance);
        println!("{told}");
    }
}
