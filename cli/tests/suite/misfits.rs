//! Messages 18, 19 and 20 of the list of intended texts: a model that fits nowhere, a placement that does not fit, a goal out of reach. Their figures are the cost
//! model's and may move with it, so a `#` stands for a number; every other letter is meant.

use std::path::Path;

use crate::support::{run, stderr};

const NOWHERE: &str = r#"pleach::memory::too_large

  × gpt_neox_20b does not fit on this cluster in any placement: # GiB at
  │ best, a GPU has # GiB
  │ parameters     # GiB
  │ gradients      # GiB
  │ optimizer     # GiB
  │ activations        # B
  │ buffers        # GiB
  │ overhead       # GiB
   ╭─[--set:1:15]
 1 │ cluster.nodes=1
   ·               ┬
   ·               ╰── 8 x # GiB
   ╰────
  help: 2 nodes fit (# GiB on the fullest GPU): `cluster.nodes = 2`

Advice: 
  ☞ the other half is in examples/neox_20b.pleach
    ╭─[examples/neox_20b.pleach:12:17]
 11 │     layers    = 44
 12 │     hidden    = 6144
    ·                 ──┬─
    ·                   ╰── 20,554,567,680 parameters
 13 │     heads     = 64
    ╰────
"#;

const PINNED: &str = r#"pleach::memory::placement_too_large

  × this placement needs # GiB on stage # of 4, a GPU has # GiB
  │ parameters     # GiB
  │ gradients      # GiB
  │ optimizer      # GiB
  │ activations   # GiB
  │ buffers        # GiB
  │ overhead      # GiB
    ╭─[examples/neox_20b.pleach:12:17]
 11 │     layers    = 44
 12 │     hidden    = 6144
    ·                 ──┬─
    ·                   ╰── 20,554,567,680 parameters
 13 │     heads     = 64
    ╰────
    ╭─[examples/neox_20b.pleach:37:32]
 36 │ 
 37 │   cluster = a100_40g { nodes = 12, gpus_per_node = 8 }
    ·                                ─┬
    ·                                 ╰── 96 x # GiB
 38 │ 
    ╰────
  help: `recompute = full` brings it to # GiB
"#;

const UNREACHABLE: &str = r#"pleach::plan::law

  × no plan trains gpt_neox_20b in 30 days on 96 GPUs
  │ time <= 30 days
  │ │    │
  │ │    false
  │ # days
    ╭─[law.pleach:37:32]
 36 │ 
 37 │   cluster = a100_40g { nodes = 12, gpus_per_node = 8 }
    ·                                ─┬
    ·                                 ╰── 96 x 312 TFLOP/s
 38 │ 
    ╰────
    ╭─[law.pleach:47:13]
 46 │     recompute   = full
 47 │     require time <= 30 days
    ·             ───────┬───────
    ·                    ╰── the best plan takes # days
 48 │   }
    ╰────
  help: #e22 FLOP in # days need # % of peak, the best plan reaches #
        %. `cluster.nodes = 32` (# days); or `train.steps = #_000` (#
        days); or `cluster = h100_80g` (# days); or a limit of # days
        for `time`
"#;

/// Plans the example with settings, from the checkout's root.
fn plan(settings: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut arguments = vec!["plan", "examples/neox_20b.pleach"];
    for setting in settings {
        arguments.extend(["--set", setting]);
    }
    let output = run(&root, &arguments);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    stderr(&output)
}

/// Whether a text is a pattern with any number for each `#`.
fn is_like(text: &str, pattern: &str) -> bool {
    let numeric = |letter: char| letter.is_ascii_digit() || letter == '.';
    let mut rest = text;
    let mut parts = pattern.split('#');
    let Some(after) = parts.next().and_then(|first| rest.strip_prefix(first)) else {
        return false;
    };
    rest = after;
    for part in parts {
        let number = rest.trim_start_matches(numeric);
        match number.strip_prefix(part) {
            Some(after) if number.len() < rest.len() => rest = after,
            _ => return false,
        }
    }
    rest.is_empty()
}

#[test]
fn a_model_that_fits_nowhere_says_what_would_do() {
    let open = [
        "cluster.nodes=1",
        "plan.tp=auto",
        "plan.pp=auto",
        "plan.micro_batch=auto",
        "plan.recompute=auto",
        "plan.zero=auto",
    ];
    let text = plan(&open);
    assert!(is_like(&text, NOWHERE), "{text}");
}

#[test]
fn a_placement_that_does_not_fit_says_what_takes_the_room() {
    let text = plan(&["plan.recompute=none"]);
    assert!(is_like(&text, PINNED), "{text}");
}

#[test]
fn a_goal_out_of_reach_names_what_cannot_hold_together_and_what_would_do() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let spec = std::fs::read_to_string(root.join("examples/neox_20b.pleach")).unwrap();
    let pinned = spec.replace("full\n", "full\n    require time <= 30 days\n");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("law.pleach"), pinned).unwrap();
    let output = run(folder.path(), &["plan", "law.pleach"]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(is_like(&text, UNREACHABLE), "{text}");
}
