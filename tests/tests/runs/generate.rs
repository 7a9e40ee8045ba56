//! A run's model goes on from a text: greedily as its own logits say, with the same seed the same text, from any checkpoint of any placement.

use pleach_tests::have;
use pleach_tests::job::{QUICKSTART, SHORT, Workspace, answer, succeed};
use serde_json::Value;

const PLACED: [&str; 4] = [
    "plan.tp=2",
    "plan.pp=2",
    "cluster.gpus_per_node=4",
    "checkpoints.also=[4 steps]",
];

#[test]
fn a_model_goes_on_from_a_text() {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    succeed(&mut home.run(QUICKSTART, &[&SHORT[..], &PLACED[..]].concat()));
    let run = home.only_run();
    let write = |arguments: &[&str]| {
        let mut command = home.pleach(["generate"]);
        command
            .arg(&run)
            .args(["--prompt", "pub fn ", "--tokens", "80"]);
        command.args(arguments);
        command
    };
    let text = |arguments: &[&str]| succeed(&mut write(arguments)).stdout;
    let greedy = text(&[]);
    assert_eq!(greedy, text(&["--top-k", "1", "--temperature", "3"]));
    assert!(greedy.len() > 80, "{greedy:?}");
    let drawn = |seed: &str| text(&["--temperature", "1", "--top-p", "0.9", "--seed", seed]);
    assert_eq!(drawn("1"), drawn("1"));
    assert_eq!(drawn("1"), text(&["--top-p", "0.9", "--seed", "1"]));
    let nothing = answer(&mut write(&["--temperature", "0", "--top-k", "5"]));
    assert_eq!(nothing.code, Some(1));
    assert!(nothing.stderr.contains("--top-k"), "{}", nothing.stderr);
    assert_ne!(drawn("1"), drawn("2"));
    let early = text(&["--temperature", "1", "--step", "4"]);
    assert_ne!(early, text(&["--temperature", "1"]));

    let value: Value = serde_json::from_str(&text(&["--json"])).expect("one JSON value");
    let ids = value["ids"].as_array().expect("ids");
    assert_eq!(ids.len(), 80, "beyond the 64 positions of the model too");
    assert_eq!(value["prompt"].as_array().map(Vec::len), Some(7));

    let missing = answer(&mut write(&["--step", "3"]));
    assert_eq!(missing.code, Some(1));
    for part in ["no checkpoint of step 3", "those of the steps 4"] {
        assert!(missing.stderr.contains(part), "{}", missing.stderr);
    }
    let long = "let x = 1;\n".repeat(20_000);
    std::fs::write(home.path().join("long.txt"), long).expect("a file");
    let file = ["--prompt-file", "long.txt", "--tokens", "4"];
    succeed(home.pleach(["generate"]).arg(&run).args(file));
    let empty = answer(home.pleach(["generate"]).arg(&run).args(["--prompt", ""]));
    assert_eq!(empty.code, Some(1));
    assert!(
        empty.stderr.contains("nothing to go on from"),
        "{}",
        empty.stderr
    );
}
