//! What the plan says of a rank's memory is what the worker holds: named bytes exactly, transients within their bound, and
//! the whole process within 15 %.

use std::path::Path;
use std::process::Command;

use pleach_plan::ledger::{Boundary, boundaries};
use pleach_tests::have;
use pleach_tests::job::{self, Answer, QUICKSTART, SHORT, Workspace, succeed};
use serde_json::Value;

/// What makes the quickstart a LLaMA whose heads share keys and values.
const LLAMA: [&str; 11] = [
    "plan.tp=2",
    "plan.pp=1",
    "plan.sequence_parallel=true",
    "model.norm=rmsnorm",
    "model.mlp=swiglu",
    "model.biases=false",
    "model.kv_heads=2",
    "model.positions=rotary",
    "model.residual=sequential { norms = both }",
    "model.qk_norm=rmsnorm",
    "model.tied=true",
];

/// What is pinned, and on how many ranks.
const PLACED: [(&str, u32, &[&str]); 16] = [
    (
        "one rank",
        1,
        &["plan.tp=1", "plan.pp=1", "plan.dp=1", "plan.zero=0"],
    ),
    (
        "dp2+zero1",
        2,
        &["plan.tp=1", "plan.pp=1", "plan.dp=2", "plan.zero=1"],
    ),
    (
        "pp2 in 2 chunks × dp2+zero2",
        4,
        &[
            "plan.tp=1",
            "plan.pp=2",
            "plan.vpp=2",
            "plan.dp=2",
            "plan.zero=2",
        ],
    ),
    (
        "tp2×dp2+zero3 in bf16",
        4,
        &[
            "plan.tp=2",
            "plan.pp=1",
            "plan.dp=2",
            "plan.zero=3",
            "train.precision=bf16",
        ],
    ),
    (
        "dp4+zero2 in blocks of 2",
        4,
        &[
            "plan.tp=1",
            "plan.pp=1",
            "plan.dp=4",
            "plan.zero=2",
            "plan.shards=2",
        ],
    ),
    (
        "tp2×pp2",
        4,
        &["plan.tp=2", "plan.pp=2", "plan.dp=1", "plan.zero=0"],
    ),
    (
        "tp2×pp2, recomputed",
        4,
        &[
            "plan.tp=2",
            "plan.pp=2",
            "plan.dp=1",
            "plan.recompute=full",
            "plan.sequence_parallel=true",
            "model.positions=learned",
        ],
    ),
    (
        "tied, pp2×dp2 in bf16",
        4,
        &[
            "plan.tp=1",
            "plan.pp=2",
            "plan.dp=2",
            "model.tied=true",
            "train.precision=bf16",
        ],
    ),
    (
        "tied, dp2+zero1, sums in lanes",
        2,
        &[
            "plan.tp=1",
            "plan.pp=1",
            "plan.dp=2",
            "plan.zero=1",
            "plan.micro_batch=2",
            "model.tied=true",
            "train.sums=reproducible { lanes = 4 }",
        ],
    ),
    ("LLaMA on tp2", 2, &LLAMA),
    (
        "LLaMA in a window, in bf16",
        1,
        &[
            "plan.tp=1",
            "plan.pp=1",
            "model.norm=rmsnorm",
            "model.mlp=geglu",
            "model.stack=2 * [layer(attention { window = 16 tokens }, mlp), layer(attention, mlp)]",
            "train.precision=bf16",
        ],
    ),
    (
        "slopes on tp2",
        2,
        &[
            "plan.tp=2",
            "plan.pp=1",
            "model.positions=alibi",
            "model.embedding.scale=2",
            "model.norm.bias=false",
            "model.head.bias=true",
            "model.head.cap=30",
            "model.mlp=gelu { form = tanh }",
        ],
    ),
    (
        "experts on tp2",
        2,
        &[
            "plan.tp=2",
            "plan.pp=1",
            "model.biases=false",
            "model.residual=sequential",
            "model.mlp=moe { experts = 4, active = 2, expert = swiglu { width = 128 } }",
            "model.mlp.router_z_loss=0.001",
        ],
    ),
    (
        "one expert and one for all, recomputed, in bf16",
        1,
        &[
            "plan.tp=1",
            "plan.pp=1",
            "plan.recompute=full",
            "model.biases=false",
            "model.mlp=moe { experts = 3, active = 1, always = 1, expert = gelu { width = 128 } }",
            "train.precision=bf16",
        ],
    ),
    (
        "dense halves and experts in turn, pp2×dp2+zero3",
        4,
        &[
            "plan.tp=1",
            "plan.pp=2",
            "plan.dp=2",
            "plan.zero=3",
            "model.biases=false",
            "model.stack=2 * [layer(attention, mlp), layer(attention, moe { experts = 4, active = 2, expert = swiglu { width = 64 } })]",
        ],
    ),
    (
        "a state space on tp2 in bf16",
        2,
        &[
            "plan.tp=2",
            "plan.pp=1",
            "model.stack=4 * [layer(mamba)]",
            "model.positions=none",
            "model.norm=rmsnorm",
            "train.precision=bf16",
        ],
    ),
];

/// One line of the worker's own account.
struct Counted {
    at: [Option<u64>; 3],
    live: u64,
    inside: u64,
}

fn counted(run: &Path, rank: u32) -> Vec<Counted> {
    let path = run.join("ledger").join(format!("rank-{rank}.json"));
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines: Vec<Value> = serde_json::from_str(&text).expect("a ledger is a JSON array");
    let number = |line: &Value, name: &str| {
        line[name]
            .as_u64()
            .unwrap_or_else(|| panic!("{line} has no {name}"))
    };
    let place = |line: &Value| ["slot", "layer", "instruction"].map(|name| line[name].as_u64());
    lines
        .iter()
        .map(|line| Counted {
            at: place(line),
            live: number(line, "live"),
            inside: number(line, "inside"),
        })
        .collect()
}

fn place(planned: &Boundary) -> [Option<u64>; 3] {
    [
        Some(planned.slot as u64),
        planned.layer.map(u64::from),
        planned.instruction.map(|index| index as u64),
    ]
}

#[test]
fn live_bytes_are_exact_and_transients_within_their_bound() {
    let Some(worker) = have::worker() else { return };
    let turn = Workspace::new();
    for (name, ranks, pins) in PLACED {
        let home = turn.beside();
        let count = format!("cluster.gpus_per_node={ranks}");
        succeed(&mut home.run(QUICKSTART, &[&SHORT[..], pins, &[&count]].concat()));
        let made = home.only_run().join("plan.json");
        let run = home.path().join("counted");
        std::fs::create_dir(&run).expect("a folder can be made");
        job::run_workers(&worker, &made, &run, &["--steps", "3", "--ledger"]);
        let plan = job::plan(&home.only_run());
        for rank in 0..ranks {
            let role = &plan.roles[plan.mesh.place(rank).pp as usize];
            let planned: Vec<Boundary> = boundaries(&plan, role).collect();
            let found = counted(&run, rank);
            assert_eq!(
                found.len(),
                planned.len(),
                "{name}, rank {rank}: every boundary is counted once"
            );
            for (planned, found) in planned.iter().zip(&found) {
                let at = place(planned);
                assert_eq!(
                    found.at, at,
                    "{name}, rank {rank}: boundaries come in the plan's order"
                );
                assert_eq!(
                    found.live, planned.live,
                    "{name}, rank {rank}: live bytes after {at:?}"
                );
                let (inside, bound) = (found.inside, planned.inside);
                assert!(
                    inside <= bound,
                    "{name}, rank {rank}: {inside} bytes inside {at:?}, at most {bound} were planned"
                );
            }
        }
    }
}

/// Each stage's resident memory is within 15 % of what the plan says.
fn assert_predicted(name: &str, answer: &Answer, stages: usize) {
    let report: Value =
        serde_json::from_str(&answer.stdout).expect("with `--json` the answer is JSON");
    let rows = report["compared"].as_array().expect("the report compares");
    let memory: Vec<&Value> = rows.iter().filter(|row| row["unit"] == "bytes").collect();
    assert_eq!(memory.len(), stages, "each stage is compared: {report}");
    for row in memory {
        println!("{name}: {row}");
        let ratio = row["ratio"].as_f64().expect("a ratio is a number");
        assert!(
            (0.85..=1.15).contains(&ratio),
            "{name}: measured is {ratio:.3} of predicted: {row}"
        );
    }
}

#[test]
fn the_process_takes_what_was_predicted_within_fifteen_percent() {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    let cache = home.path().join("cache");
    let measured_here = |command: &mut Command| succeed(command.env("XDG_CACHE_HOME", &cache));
    measured_here(&mut home.pleach(["calibrate"]));
    let mut command = home.run(QUICKSTART, &[]);
    let begun = measured_here(command.args(["--json", "--steps", "5"]));
    let stages = job::plan(&home.only_run()).roles.len();
    assert_predicted("begun", &begun, stages);
    let mut command = home.pleach(["resume", "--no-progress", "--json", "--steps", "10"]);
    let resumed = measured_here(command.arg(home.only_run()));
    assert_predicted("resumed", &resumed, stages);
}
