//! Prompts and answers, trained by real workers: only answers count, and how the ranks share the work changes nothing.

use std::fmt::Write;

use pleach_tests::have;
use pleach_tests::job::{Workspace, succeed};

use super::compare::{Trained, loss_difference};

const SPEC: &str = r#"
import "presets/clusters.pleach"

dataset asked {
  source    = "file:asked.jsonl"
  tokenizer = "bytes"
  records   = instructions
  split     = [90%, 10%]
  repeat    = 10
}

experiment answering {
  seed  = 7
  model = transformer { layers = 2, hidden = 32, heads = 4, context = 32 tokens, vocab = 256 }
  data  = asked
  train {
    steps        = 6 steps
    global_batch = 8 sequences
    optimizer    = adamw { eps = 1e-3 }
    lr           = constant { peak = 1e-2 }
    precision    = fp64
  }
  cluster = this_machine { gpus_per_node = 1 }
}
"#;

#[test]
fn only_answers_count_whatever_the_placement() {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    let mut lines = String::new();
    for number in 0..40 {
        let (prompt, answer) = ("?".repeat(number % 23 + 1), number * number);
        writeln!(
            lines,
            "{{\"prompt\": \"{prompt}\", \"answer\": \"{answer}\"}}"
        )
        .expect("a string");
    }
    let run = |settings: &[&str]| {
        let home = home.beside();
        std::fs::write(home.path().join("asked.jsonl"), &lines).expect("a file");
        std::fs::write(home.path().join("asked.pleach"), SPEC).expect("a spec");
        let mut command = home.pleach(["run", "--yes", "--no-progress", "asked.pleach"]);
        let answer = succeed(command.args(settings.iter().flat_map(|it| ["--set", it])));
        assert!(
            answer.stdout.contains("held out, never trained on"),
            "{}",
            answer.stdout
        );
        Trained::read(&home.only_run()).losses
    };
    let alone = run(&[]);
    assert!(alone[5] < alone[0], "{alone:?}");
    for settings in [
        &["plan.micro_batch=1"][..],
        &["cluster.gpus_per_node=2", "plan.dp=2", "plan.micro_batch=2"],
        &["cluster.gpus_per_node=2", "plan.tp=2"],
        &[
            "cluster.gpus_per_node=4",
            "plan.pp=2",
            "plan.dp=2",
            "plan.micro_batch=1",
        ],
    ] {
        let other = run(settings);
        let apart = loss_difference(&alone, &other);
        assert!(
            apart < 1e-9,
            "{settings:?}: {apart:e}\n{alone:?}\n{other:?}"
        );
    }
    let all = run(&["data.records.loss=all"]);
    assert!(loss_difference(&alone, &all) > 1e-2, "{alone:?}\n{all:?}");
}
