//! Every placement of the small model means the same: the reference interpreter runs them all and compares.

mod common;

use common::{experiment, placement};
use pleach_dsl::experiment::{Experiment, Mixer, Sums};
use pleach_plan::reference::{Inputs, Outcome, distance, run};
use pleach_plan::{Plan, Recompute, check, ledger};
use pleach_planner::placement::Placement;
use pleach_planner::program::EmitError;
use pleach_planner::{program, verify};

fn outcome(plan: &Plan) -> Outcome {
    let initial = |name: &str, index: u64| {
        let mixed = name
            .bytes()
            .fold(index.wrapping_mul(0x9E37_79B9), |sum, byte| {
                sum.wrapping_mul(31).wrapping_add(u64::from(byte))
            });
        (mixed.wrapping_mul(0xD134_2543_DE82_EF95) >> 40) as f64 / f64::from(1 << 24) * 0.4 - 0.2
    };
    let tokens = |sample: u64| {
        (0..9)
            .map(|at| ((sample * 7 + at * at * 3) % 32) as i64)
            .collect()
    };
    run(
        plan,
        &Inputs {
            initial: &initial,
            tokens: &tokens,
            gradients: false,
        },
        2,
    )
    .unwrap_or_else(|stuck| panic!("{stuck}"))
}

fn all() -> Vec<Placement> {
    let mut found = Vec::new();
    for (dp, pp, tp, vpp) in [
        (1, 1, 1, 1),
        (1, 1, 2, 1),
        (1, 2, 1, 1),
        (2, 1, 1, 1),
        (1, 2, 2, 1),
        (1, 2, 1, 2),
        (2, 1, 2, 1),
        (2, 2, 1, 1),
        (2, 2, 2, 1),
        (2, 2, 2, 2),
        (1, 4, 1, 1),
        (1, 1, 4, 1),
    ] {
        for recompute in [Recompute::None, Recompute::Selective, Recompute::Full] {
            for (zero, sequence_parallel) in [
                (0, false),
                (1, false),
                (2, false),
                (3, false),
                (0, true),
                (1, true),
                (2, true),
                (3, true),
            ] {
                if (zero == 0 || dp > 1) && (!sequence_parallel || tp > 1) {
                    found.push(Placement {
                        zero,
                        sequence_parallel,
                        recompute,
                        vpp,
                        ..placement(dp, pp, tp)
                    });
                }
            }
        }
    }
    found.extend(hybrid());
    found
}

/// Blocks of two replicas, among which ZeRO divides.
fn hybrid() -> impl Iterator<Item = Placement> {
    [1, 2, 3].into_iter().flat_map(|zero| {
        [(1, 1), (2, 1), (1, 2)].map(|(pp, tp)| Placement {
            zero,
            shards: 2,
            micro_batch: 1,
            sequence_parallel: tp > 1,
            recompute: Recompute::Selective,
            ..placement(4, pp, tp)
        })
    })
}

/// Layers that look near and far, some in a row.
const STACK: &str = "[layer(attention { window = 2 tokens }, mlp), layer(attention, mlp), \
                      layer(attention, mlp), layer(attention { window = 3 tokens }, mlp)]";

/// What makes the small model a LLaMA.
const LLAMA: [(&str, &str); 6] = [
    ("model.kv_heads", "2"),
    ("model.biases", "false"),
    ("model.norm", "rmsnorm"),
    ("model.positions", "rotary"),
    ("model.residual", "sequential"),
    ("model.mlp", "swiglu { width = 24 }"),
];

/// Experts: a small LLaMA whose tokens choose two of four.
const EXPERTS: [(&str, &str); 5] = [
    ("model.biases", "false"),
    ("model.norm", "rmsnorm"),
    ("model.residual", "sequential"),
    (
        "model.mlp",
        "moe { experts = 4, active = 2, expert = swiglu { width = 8 } }",
    ),
    ("model.mlp.balance_loss", "0.1"),
];

/// The same with one expert for each token and one for all, and a loss on the router's logits.
const ALWAYS: [(&str, &str); 4] = [
    ("model.biases", "false"),
    (
        "model.mlp",
        "moe { experts = 3, active = 1, always = 2, expert = gelu { width = 4 } }",
    ),
    ("model.mlp.balance_loss", "0"),
    ("model.mlp.router_z_loss", "0.1"),
];

/// State spaces and attention in turn, dense halves and experts: every layer has parameters of its own kind.
const MIXED: [(&str, &str); 5] = [
    (
        "model.stack",
        "[layer(mamba { state = 2, conv = 2, dt_rank = 1 }, mlp), \
          layer(attention, moe { experts = 2, active = 1, expert = gelu { width = 8 }, balance_loss = 0.1 }), \
          layer(mamba { state = 2, conv = 2, dt_rank = 1 }, moe { experts = 2, active = 1, expert = gelu { width = 8 }, balance_loss = 0.1 }), \
          layer(attention, mlp)]",
    ),
    ("model.positions", "none"),
    ("model.biases", "false"),
    ("model.norm", "rmsnorm"),
    ("model.residual", "sequential"),
];

/// Wide and narrow layers, one of each kind with a window.
const WIDTHS: &str = "[layer(attention, gelu { width = 24 }), layer(attention, gelu { width = 40 }), \
                      layer(attention { window = 2 tokens }, gelu { width = 24 }), layer(attention, gelu { width = 40 })]";

/// The plan, but where tensor-parallel ranks outnumber heads of keys and values, or gradients are to be summed in one order and are divided
/// before: both are refused.
fn emit(experiment: &Experiment, placement: &Placement) -> Option<Plan> {
    let shared = match &experiment.model.kinds[0].mixer {
        Mixer::Attention(attention) => attention.kv_heads,
        _ => u64::from(placement.tp),
    };
    let plan = program::emit(experiment, placement);
    let ordered = experiment.train.sums != Sums::Fast;
    if ordered && placement.divides(2) > 1 {
        let why = plan.expect_err("gradients are divided");
        assert!(matches!(why, EmitError::Lanes(_)), "{why}");
        return None;
    }
    if shared.is_multiple_of(u64::from(placement.tp)) {
        return Some(plan.expect("the small model divides"));
    }
    let why = plan.expect_err("heads of keys and values are not replicated");
    let text = format!("{shared} heads of keys and values cannot be shared by");
    assert!(why.to_string().starts_with(&text), "{why}");
    None
}

/// The small model with other parts.
const MODELS: [&[(&str, &str)]; 34] = [
    &[],
    &[("model.dropout", "25%")],
    &[
        ("model.dropout", "25%"),
        ("model.residual", "sequential"),
        ("model.biases", "false"),
    ],
    &[
        ("train.loss.z_loss", "0.1"),
        ("train.loss.label_smoothing", "20%"),
    ],
    &[
        ("train.loss.z_loss", "0.1"),
        ("data.records", "instructions"),
    ],
    &[("train.optimizer", "adam { weight_decay = 0.1 }")],
    &[
        // Where a gradient is zero but for rounding, its sign is chance.
        ("train.optimizer", "lion { decay_norms = true }"),
        ("model.biases", "false"),
        ("model.tied", "true"),
    ],
    &[
        (
            "train.optimizer",
            "sgd { nesterov = true, weight_decay = 0.1 }",
        ),
        ("train.precision", "bf16"),
    ],
    &[
        ("train.optimizer.decay_embeddings", "false"),
        ("train.optimizer.decay_biases", "true"),
        ("train.optimizer.decay_norms", "true"),
        ("model.positions", "learned"),
        ("model.embedding.norm", "layernorm"),
    ],
    &[("model.residual", "sequential")],
    &[("train.precision", "bf16")],
    &[("model.biases", "false")],
    &[("model.mlp", "relu"), ("model.norm", "rmsnorm")],
    &LLAMA,
    &[("model.kv_heads", "1"), ("model.norm", "rmsnorm")],
    &[("model.kv_heads", "2"), ("model.positions", "alibi")],
    &[
        ("model.kv_heads", "2"),
        ("model.positions", "alibi"),
        ("model.window", "3 tokens"),
    ],
    &[("model.stack", STACK)],
    &[("model.stack", STACK), ("model.residual", "sequential")],
    &[("model.tied", "true")],
    &[
        ("model.tied", "true"),
        ("model.positions", "learned { rows = 10 tokens }"),
        ("model.residual", "sequential"),
        ("model.norm.bias", "false"),
    ],
    &[
        ("model.kv_heads", "2"),
        ("model.qk_norm", "rmsnorm"),
        ("model.residual", "sequential { norms = after }"),
        ("model.head.bias", "true"),
    ],
    &[
        ("model.qk_norm", "rmsnorm"),
        ("model.residual", "sequential { norms = both }"),
        ("model.embedding.scale", "2.5"),
        ("model.head.cap", "3"),
    ],
    &[
        ("model.norm", "none"),
        ("model.head.norm", "rmsnorm"),
        ("model.positions", "learned"),
        ("model.embedding.scale", "2.5"),
    ],
    &[
        ("model.tied", "true"),
        ("model.embedding.norm", "layernorm"),
        ("train.precision", "bf16"),
    ],
    &[
        ("model.embedding.norm", "layernorm"),
        ("model.positions", "alibi"),
    ],
    &[
        ("model.window", "3 tokens"),
        ("model.positions.scale", "2"),
        ("model.norm", "rmsnorm"),
    ],
    &[
        ("train.sums", "reproducible { lanes = 4 }"),
        ("model.tied", "true"),
    ],
    &EXPERTS,
    &ALWAYS,
    &MIXED,
    &[("model.stack", WIDTHS), ("model.residual", "sequential")],
    &[
        (
            "model.stack",
            "4 * [layer(mamba { state = 2, conv = 3, dt_rank = 3 })]",
        ),
        ("model.positions", "none"),
        ("model.norm", "rmsnorm"),
        ("model.residual", "sequential"),
        ("model.tied", "true"),
    ],
    &[
        (
            "model.stack",
            "4 * [layer(mamba { state = 3, conv = 2, dt_rank = 1, bias = true, conv_bias = false }, mlp)]",
        ),
        ("model.positions", "learned"),
        ("train.precision", "bf16"),
    ],
];

#[test]
fn every_placement_is_accepted_and_means_the_same() {
    for (index, changes) in MODELS.into_iter().enumerate() {
        let experiment = experiment(changes);
        let reference = outcome(
            &program::emit(&experiment, &placement(1, 1, 1)).expect("one rank is always possible"),
        );
        for placement in all()
            .into_iter()
            .skip(index % 3)
            .step_by(if index == 0 { 1 } else { 3 })
        {
            let Some(plan) = emit(&experiment, &placement) else {
                continue;
            };
            check::check(&plan).unwrap_or_else(|faults| panic!("{placement:?}: {faults:#?}"));
            if let Err(faults) = verify::verify(&plan, &experiment) {
                panic!(
                    "{placement:?}: {}",
                    faults
                        .iter()
                        .map(ToString::to_string)
                        .collect::<Vec<_>>()
                        .join("\n")
                );
            }
            let gap = distance(&reference, &outcome(&plan));
            assert!(gap < 1e-10, "{placement:?} is {gap} away");
        }
    }
}

#[test]
fn recomputing_and_sharding_save_memory() {
    let experiment = experiment(&[]);
    let peak = |placement: &Placement| {
        let plan = program::emit(&experiment, placement).expect("the small model divides");
        ledger::summary(&plan, &plan.roles[0]).named_peak
    };
    let plain = placement(1, 1, 2);
    let recompute = |recompute| {
        peak(&Placement {
            recompute,
            ..plain.clone()
        })
    };
    assert!(recompute(Recompute::Selective) < peak(&plain));
    assert!(recompute(Recompute::Full) < recompute(Recompute::Selective));
    assert!(
        peak(&Placement {
            sequence_parallel: true,
            ..plain.clone()
        }) < peak(&plain)
    );
    assert!(
        peak(&Placement {
            zero: 1,
            ..placement(2, 1, 1)
        }) < peak(&placement(2, 1, 1))
    );
}
