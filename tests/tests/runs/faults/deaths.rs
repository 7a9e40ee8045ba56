//! A worker that dies takes nobody with it into the dark: the others end soon, the message says who, where and waiting for whom.

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use pleach_plan::walk::{Event, walk};
use pleach_tests::have;
use pleach_tests::job::{self, Workspace, answer, spawn, succeed};
use serde_json::Value;
use xtask::processes;

use super::{Chance, EVERY, FOUR, LONG, assert_same, flat, resume, run, saved, undisturbed};

/// A job in the middle of its training, and its workers.
fn training(workspace: &Workspace) -> (Child, Vec<processes::Worker>) {
    let settings = [&FOUR[..], &[LONG]].concat();
    let child = spawn(&mut run(workspace, &settings));
    let workers = processes::wait_for_workers(child.id(), 4);
    let seconds = processes::wait_until("some steps are done", || {
        let done = job::metrics(&workspace.only_run());
        done.get(2)?["seconds"].as_f64()
    });
    // From the end of a step into the middle of the next one.
    std::thread::sleep(Duration::from_secs_f64(seconds / 3.0));
    (child, workers)
}

#[test]
fn a_killed_worker_ends_the_run_within_five_seconds() {
    if have::worker().is_none() {
        return;
    }
    for victim in [0, 3] {
        let workspace = Workspace::new();
        let (child, workers) = training(&workspace);
        processes::kill(workers[victim].pid);
        let begin = Instant::now();
        let output = child.wait_with_output().expect("pleach ends");
        let took = begin.elapsed();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            output.status.code(),
            Some(10),
            "a run that can be resumed: {text}"
        );
        assert!(took < Duration::from_secs(5), "it took {took:?}: {text}");
        assert!(
            text.contains(&format!("rank {victim}")),
            "the message names the rank that died: {text}"
        );
        assert!(
            flat(&text).contains("waited for it at "),
            "the message names the instruction: {text}"
        );
        let peers = (0..4)
            .filter(|rank| *rank != victim)
            .any(|rank| text.contains(&format!("rank {rank}")));
        assert!(peers, "the message names who waited: {text}");
        let left: Vec<_> = workers
            .iter()
            .filter(|worker| processes::is_running(worker.pid))
            .collect();
        assert!(left.is_empty(), "no process is left behind: {left:?}");
        let records = (0..4).filter_map(|rank| flight(&workspace.only_run(), rank));
        let records: Vec<Vec<Value>> = records.collect();
        assert!(
            !records.is_empty(),
            "those who waited left their flight records"
        );
        for record in records {
            let last = record.last().expect("a rank did something");
            let is_instruction = last["what"]
                .as_str()
                .is_some_and(|what| what.contains("slot"));
            assert!(record.len() > 20, "{last}");
            assert!(last["took"].is_null() || !is_instruction, "{last}");
            assert!(record[0]["took"].is_number() && record[0]["step"].is_number());
        }
    }
}

/// What a rank did last, where it left a record of that.
fn flight(run: &Path, rank: u32) -> Option<Vec<Value>> {
    let path = run
        .join("failures")
        .join(format!("rank-{rank}.flight.json"));
    let text = std::fs::read_to_string(path).ok()?;
    Some(serde_json::from_str(&text).expect("a flight record is JSON"))
}

#[test]
fn killing_the_launcher_leaves_no_worker_behind() {
    if have::worker().is_none() {
        return;
    }
    let workspace = Workspace::new();
    let (mut child, workers) = training(&workspace);
    child.kill().expect("pleach can be killed");
    child.wait().expect("pleach ends");
    let begin = Instant::now();
    processes::wait_until("all workers are gone", || {
        (!workers
            .iter()
            .any(|worker| processes::is_running(worker.pid)))
        .then_some(())
    });
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "workers end with their launcher, it took {:?}",
        begin.elapsed()
    );
}

/// Instructions and transfers of a rank's step.
fn places(folder: &Path, rank: u32) -> u64 {
    let plan = job::plan(folder);
    let role = &plan.roles[plan.mesh.place(rank).pp as usize];
    let counted =
        |event: &Event<'_>| matches!(event, Event::Run(..) | Event::Start(..) | Event::Wait(..));
    walk(&plan, role).filter(counted).count() as u64
}

#[test]
fn a_rank_killed_at_any_instruction_loses_no_more_than_the_steps_since_the_checkpoint() {
    if have::worker().is_none() {
        return;
    }
    let (home, whole) = undisturbed(&FOUR);
    let mut chance = Chance(20_240_601);
    for background in ["false", "true", "true"] {
        let (rank, step) = (chance.below(4) as u32, 6 + chance.below(8));
        let number = chance.below(places(&whole.folder, rank));
        let at = format!("{rank}:{step}:{number}");
        println!("killed at {at}");
        let away = home.beside();
        let background = format!("checkpoints.background={background}");
        let settings = [&FOUR[..], &[&background]].concat();
        let fallen = answer(run(&away, &settings).env("PLEACH_KILL_AT", &at));
        let told = flat(&fallen.stderr);
        assert_eq!(fallen.code, Some(10), "{at}: {told}");
        for part in [
            &format!("rank {rank} of 4 stopped"),
            "SIGKILL",
            "pleach resume",
        ] {
            assert!(told.contains(part), "{at}: {part}: {told}");
        }
        let folder = away.only_run();
        let newest = saved(&folder).last().copied().unwrap_or(0);
        let last = (step - 1) / EVERY * EVERY;
        let written = if background.ends_with("true") {
            last.saturating_sub(EVERY)
        } else {
            last
        };
        assert!((written..=last).contains(&newest), "{at}: {newest}");
        succeed(&mut resume(&away));
        assert_same(&whole, &folder);
    }
}

/// A fault that cannot happen must not look like one that was stood.
#[test]
fn a_fault_of_a_rank_that_is_not_there_is_refused() {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    for (variable, at) in [("PLEACH_KILL_AT", "4:1:0"), ("PLEACH_SPOIL_AT", "4:1")] {
        let refused = answer(run(&home, &FOUR).env(variable, at));
        let told = flat(&refused.stderr);
        assert_eq!(refused.code, Some(1), "{variable}: {told}");
        for part in ["rank 4 is to be", "the ranks 0 to 3", variable] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
}
