//! Files that are not what was written: each is named, and the run goes on from the newest checkpoint in which every byte is right.

use std::fs;
use std::path::{Path, PathBuf};

use pleach_tests::have;
use pleach_tests::job::{Workspace, answer, losses, spawn, succeed};
use xtask::processes::{self, signal};

use super::{EVERY, LONG, TWO, assert_same, flat, resume, run, saved, undisturbed};

/// A file of the checkpoint of a step.
fn file(run: &Path, step: u64, name: &str) -> PathBuf {
    run.join(format!("checkpoints/step-{step:06}/{name}"))
}

fn truncate(path: &Path, bytes: usize) {
    let text = fs::read(path).expect("the file is there");
    fs::write(path, &text[..text.len() - bytes]).expect("the file can be written");
}

fn flip(path: &Path, at: usize) {
    let mut text = fs::read(path).expect("the file is there");
    text[at] ^= 1 << 4;
    fs::write(path, text).expect("the file can be written");
}

#[test]
fn truncated_flipped_and_half_written_files_are_named_and_an_older_checkpoint_is_gone_on_from() {
    if have::worker().is_none() {
        return;
    }
    let (home, whole) = undisturbed(&TWO);
    let away = home.beside();
    let keep = [&TWO[..], &["checkpoints.keep=4"]].concat();
    succeed(run(&away, &keep).args(["--steps", "20"]));
    let folder = away.only_run();
    assert_eq!(saved(&folder), [8, 12, 16, 20]);
    truncate(&file(&folder, 20, "rank-1.safetensors"), 1);
    flip(&file(&folder, 16, "rank-0.safetensors"), 4000);
    truncate(&file(&folder, 12, "manifest.json"), 100);
    // What a process that was killed at its next checkpoint leaves.
    fs::create_dir(folder.join("checkpoints/step-000024.partial")).expect("a folder");
    fs::write(
        folder.join("checkpoints/step-000024.partial/manifest.json"),
        "{",
    )
    .expect("a file");
    let gone_on = succeed(&mut resume(&away));
    let told = flat(&gone_on.stderr);
    for part in [
        "step-000020/rank-1.safetensors",
        "step-000016/rank-0.safetensors",
        "step-000012/manifest.json",
        "bytes, expected",
        "BLAKE3",
        "a newer checkpoint is damaged and left out",
        "going on after step 8",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(
        !told.contains("step-000024"),
        "what is not complete is no checkpoint: {told}"
    );
    assert_same(&whole, &folder);
}

#[test]
fn a_run_without_any_good_checkpoint_is_refused_and_left_as_it_is() {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    succeed(run(&home, &TWO).args(["--steps", "8"]));
    let folder = home.only_run();
    for step in saved(&folder) {
        flip(&file(&folder, step, "rank-1.safetensors"), 3000);
    }
    let lines = fs::read_to_string(folder.join("metrics.jsonl")).expect("there are metrics");
    let refused = answer(&mut resume(&home));
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    for part in [
        "can be believed",
        "step-000004/rank-1.safetensors",
        "step-000008/rank-1.safetensors",
        "nothing was changed",
    ] {
        assert!(
            flat(&refused.stderr).contains(part),
            "{part}: {}",
            refused.stderr
        );
    }
    assert_eq!(
        fs::read_to_string(folder.join("metrics.jsonl")).ok(),
        Some(lines)
    );
}

#[test]
fn a_restart_falls_back_to_the_newest_good_checkpoint() {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    let settings = [&TWO[..], &[LONG]].concat();
    let child = spawn(run(&home, &settings).args(["--restarts", "1"]));
    let workers = processes::wait_for_workers(child.id(), 2);
    processes::wait_until("there are checkpoints", || {
        (saved(&home.only_run()).len() == 3).then_some(())
    });
    workers
        .iter()
        .for_each(|worker| signal(worker.pid, libc::SIGSTOP));
    let folder = home.only_run();
    let newest = *saved(&folder).last().expect("there are checkpoints");
    truncate(&file(&folder, newest, "rank-0.safetensors"), 7);
    processes::kill(workers[1].pid);
    signal(workers[0].pid, libc::SIGCONT);
    processes::wait_until("it goes on", || {
        saved(&folder)
            .last()
            .filter(|step| **step > newest + EVERY)
            .copied()
    });
    processes::ask_to_stop(child.id());
    let output = child.wait_with_output().expect("pleach ends");
    let told = flat(&String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(75), "{told}");
    let from = newest - EVERY;
    for part in [
        &format!("step-{newest:06}/rank-0.safetensors"),
        &format!("going on after step {from}: restart 1 of 1"),
        "rank 1 of 2 stopped",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

const OWN_DATA: &str = r#"import "presets/clusters.pleach"
import "presets/models.pleach"
dataset text {
  source    = "file:text.bin"
  tokenizer = "bytes"
}
experiment own {
  model = gpt2_small { layers = 2, hidden = 64, heads = 4, context = 64 tokens, vocab = 256 }
  data = text
  train {
    steps        = 8 steps
    global_batch = 8 sequences
    lr           = constant { peak = 1e-3 }
    precision    = fp32
  }
  checkpoints { every = 2 steps }
  cluster = this_machine { gpus_per_node = 2 }
  plan { dp = 2 }
}
"#;

#[test]
fn a_shard_of_data_that_was_changed_is_named_and_the_run_waits_until_it_is_back() {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    let lines =
        (0..2000u32).map(|line| format!("{{\"text\": \"line {line} of {}\"}}\n", line * 7919));
    fs::write(home.path().join("text.jsonl"), lines.collect::<String>()).expect("a file");
    fs::write(home.path().join("own.pleach"), OWN_DATA).expect("a file");
    let tokenize = [
        "data",
        "tokenize",
        "text.jsonl",
        "--tokenizer",
        "bytes",
        "--out",
        "text",
    ];
    succeed(&mut home.pleach(tokenize));
    succeed(&mut home.pleach([
        "run",
        "own.pleach",
        "--yes",
        "--no-progress",
        "--steps",
        "3",
    ]));
    let folder = home.only_run();
    let before = losses(&folder);
    let shard = home.path().join("text.bin");
    let whole = fs::read(&shard).expect("the shard is there");

    let refused = |parts: &[&str]| {
        let answer = answer(&mut resume(&home));
        assert_ne!(answer.code, Some(0));
        let told = flat(&answer.stderr);
        for part in parts.iter().chain(&["text."]) {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert_eq!(losses(&folder), before);
    };
    flip(&shard, whole.len() / 2);
    refused(&[
        "pleach::data::changed",
        "text.bin has the fingerprint",
        "bring back",
    ]);
    truncate(&shard, 1);
    refused(&["pleach::data::damaged"]);
    fs::remove_file(&shard).expect("a file can be removed");
    refused(&[]);

    fs::write(&shard, &whole).expect("a file");
    succeed(&mut resume(&home));
    assert_eq!(losses(&folder).len(), 8);
    assert_eq!(losses(&folder)[..3], before);
}
