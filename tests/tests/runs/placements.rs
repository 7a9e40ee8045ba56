//! Any two placements of one experiment train the same model, also with parts, losses and optimizers that the models of `matrix.rs` have not.
//!
//! Losses alone would be a weak test, since a wrong norm gradient moves them in the fifth digit only; so gradients of every parameter
//! are compared too. Final fp32 weights are not: where a gradient is nearly zero Adam amplifies rounding.

use pleach_storage::checkpoint::Kind;
use pleach_tests::have;
use pleach_tests::job::{SHORT, Workspace, succeed};

use super::compare::{Trained, loss_difference, same_bits, state_difference};

/// A placement by its name, its number of ranks and what pins it.
struct Placement {
    name: &'static str,
    ranks: u32,
    pins: [&'static str; 5],
}

const ONE: Placement = Placement {
    name: "one rank",
    ranks: 1,
    pins: [
        "plan.tp=1",
        "plan.pp=1",
        "plan.dp=1",
        "plan.zero=0",
        "plan.recompute=none",
    ],
};

const OTHERS: [Placement; 10] = [
    Placement {
        name: "tp2",
        ranks: 2,
        pins: [
            "plan.tp=2",
            "plan.pp=1",
            "plan.dp=1",
            "plan.zero=0",
            "plan.recompute=selective",
        ],
    },
    Placement {
        name: "pp2",
        ranks: 2,
        pins: [
            "plan.tp=1",
            "plan.pp=2",
            "plan.dp=1",
            "plan.zero=0",
            "plan.recompute=full",
        ],
    },
    Placement {
        name: "pp2 in 2 chunks",
        ranks: 2,
        pins: [
            "plan.vpp=2",
            "plan.tp=1",
            "plan.pp=2",
            "plan.dp=1",
            "plan.zero=0",
        ],
    },
    Placement {
        name: "dp2+zero1",
        ranks: 2,
        pins: [
            "plan.tp=1",
            "plan.pp=1",
            "plan.dp=2",
            "plan.zero=1",
            "plan.recompute=none",
        ],
    },
    Placement {
        name: "pp2×dp2+zero2",
        ranks: 4,
        pins: [
            "plan.tp=1",
            "plan.pp=2",
            "plan.dp=2",
            "plan.zero=2",
            "plan.recompute=none",
        ],
    },
    Placement {
        name: "tp2×dp2+zero3",
        ranks: 4,
        pins: [
            "plan.tp=2",
            "plan.pp=1",
            "plan.dp=2",
            "plan.zero=3",
            "plan.recompute=selective",
        ],
    },
    Placement {
        name: "dp4+zero3 in blocks of 2",
        ranks: 4,
        pins: [
            "plan.tp=1",
            "plan.pp=1",
            "plan.dp=4",
            "plan.zero=3",
            "plan.shards=2",
        ],
    },
    Placement {
        name: "tp2×pp2",
        ranks: 4,
        pins: [
            "plan.tp=2",
            "plan.pp=2",
            "plan.dp=1",
            "plan.zero=0",
            "plan.recompute=full",
        ],
    },
    Placement {
        name: "tp2×dp2",
        ranks: 4,
        pins: [
            "plan.tp=2",
            "plan.pp=1",
            "plan.dp=2",
            "plan.zero=0",
            "plan.recompute=none",
        ],
    },
    Placement {
        name: "pp2×dp2",
        ranks: 4,
        pins: [
            "plan.tp=1",
            "plan.pp=2",
            "plan.dp=2",
            "plan.zero=0",
            "plan.recompute=selective",
        ],
    },
];

/// The quickstart, as small and as short as shows that a cut changes nothing.
const SMALL: [&str; 5] = [
    "model.layers=4",
    "model.hidden=64",
    "model.context=64 tokens",
    "train.global_batch=8 sequences",
    "train.steps=8 steps",
];
const STEPS: u64 = 8;

/// A model with parts that the quickstart's own has not.
const PARTS: [&str; 8] = [
    "model.stack=2 * [layer(attention { window = 16 tokens }, mlp), layer(attention, mlp)]",
    "model.tied=true",
    "model.positions=learned",
    "model.embedding.scale=2",
    "model.residual=sequential { norms = both }",
    "model.norm=rmsnorm",
    "model.qk_norm=rmsnorm",
    "model.head.cap=30",
];

/// Trains it and keeps the checkpoint of every step.
fn train(workspace: &Workspace, placement: &Placement, settings: &[&str]) -> Trained {
    let ranks = format!("cluster.gpus_per_node={}", placement.ranks);
    let more = [
        &*ranks,
        "plan.micro_batch=2 sequences",
        "checkpoints.every=1 steps",
        "checkpoints.keep=all",
    ];
    let settings = [&SMALL[..], &placement.pins[..], &more[..], settings].concat();
    succeed(&mut workspace.run(pleach_tests::job::QUICKSTART, &settings));
    Trained::read(&workspace.only_run())
}

fn agree(settings: &[&str], check: impl Fn(&str, &Trained, &Trained)) {
    agree_on(&OTHERS, settings, check);
}

fn agree_on<'p>(
    placements: impl IntoIterator<Item = &'p Placement>,
    settings: &[&str],
    check: impl Fn(&str, &Trained, &Trained),
) {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    let one = train(&home, &ONE, settings);
    assert_eq!(one.losses.len(), STEPS as usize);
    for placement in placements {
        let away = home.beside();
        let other = train(&away, placement, settings);
        assert_eq!(
            one.order, other.order,
            "{}: the data comes in the same order",
            placement.name
        );
        check(placement.name, &one, &other);
    }
}

/// Of a model that is not the quickstart's.
fn agree_in_fp64<'p>(placements: impl IntoIterator<Item = &'p Placement>, model: &[&str]) {
    let settings = [model, &["train.precision=fp64"]].concat();
    agree_on(placements, &settings, |name, one, other| {
        let losses = loss_difference(&one.losses, &other.losses);
        let (gradient, of) = state_difference(&one.checkpoint(1), &other.checkpoint(1), Kind::M);
        println!("{name}: losses {losses:.1e}, gradients {gradient:.1e} ({of})");
        assert!(
            gradient <= 1e-10,
            "{name}: gradients of {of} differ by {gradient:e}"
        );
        assert!(losses <= 1e-12, "{name}: losses differ by {losses:e}");
    });
}

/// Every optimizer but AdamW, a placement each; and what decays otherwise than usual.
#[test]
fn other_optimizers_agree_in_fp64() {
    let optimizers = [
        ("adam { weight_decay = 0.1, decay_embeddings = false }", 4),
        ("lion { decay_norms = true }", 5),
        (
            "sgd { nesterov = true, weight_decay = 0.1, decay_biases = true }",
            2,
        ),
    ];
    for (optimizer, other) in optimizers {
        let optimizer = format!("train.optimizer={optimizer}");
        // Where a gradient is zero but for rounding, as that of the keys' biases is, Lion follows chance.
        let settings = [
            &*optimizer,
            "model.biases=false",
            "train.precision=fp64",
            "train.lr.peak=1e-3",
        ];
        agree_on([&OTHERS[other]], &settings, |name, one, other| {
            let losses = loss_difference(&one.losses, &other.losses);
            let ends = [one, other].map(|run| run.checkpoint(STEPS));
            let (weight, which) = state_difference(&ends[0], &ends[1], Kind::Weight);
            let (moment, of) = state_difference(&ends[0], &ends[1], Kind::M);
            println!(
                "{optimizer}, {name}: losses {losses:.1e}, weights {weight:.1e} ({which}), moments {moment:.1e} ({of})"
            );
            assert!(losses <= 1e-12, "{name}: losses differ by {losses:e}");
            assert!(
                weight <= 1e-9 && moment <= 1e-9,
                "{name}: {which} differs by {weight:e}, the moments of {of} by {moment:e}"
            );
        });
    }
}

#[test]
fn experts_agree_in_fp64() {
    let model = [
        "model.biases=false",
        "model.mlp=moe { experts = 4, active = 2, always = 1, expert = swiglu { width = 64 } }",
    ];
    agree_in_fp64(&OTHERS[5..8], &model);
}

/// Dense halves of two widths and experts: each kind of layers has parameters of its own.
#[test]
fn layers_with_other_parameters_agree_in_fp64() {
    let model = [
        "model.biases=false",
        "model.stack=[layer(attention, mlp), layer(attention, moe { experts = 4, active = 2, expert = swiglu { width = 64 } }), \
         layer(attention, gelu { width = 128 }), layer(attention, mlp)]",
    ];
    agree_in_fp64(&OTHERS[4..6], &model);
}

/// What is charged beside the cross entropy, over a vocabulary that is split and one that is not.
#[test]
fn a_z_loss_and_smoothed_targets_agree_in_fp64() {
    let model = [
        "train.loss=cross_entropy { z_loss = 1e-2, label_smoothing = 10% }",
        "model.positions=alibi",
        "model.init=orthogonal",
        "model.window=16 tokens",
    ];
    agree_in_fp64(&OTHERS[5..6], &model);
}

/// The same entries are dropped however the model is cut, also where a forward runs again; from another spread of initial values.
#[test]
fn dropout_agrees_in_fp64() {
    let model = ["model.dropout=10%", "model.init=xavier_uniform"];
    agree_in_fp64([&OTHERS[5], &OTHERS[7]], &model);
}

#[test]
fn state_spaces_agree_in_fp64() {
    let model = [
        "model.stack=4 * [layer(mamba { state = 4 })]",
        "model.positions=none",
    ];
    agree_in_fp64(&OTHERS[5..6], &model);
}

#[test]
fn in_fp32_losses_agree_at_every_step_also_of_other_parts() {
    let settings = [&PARTS[..], &["train.precision=fp32"]].concat();
    agree(&settings, |name, one, other| {
        let losses = loss_difference(&one.losses, &other.losses);
        println!("{name}: losses {losses:.1e}");
        assert!(losses <= 2e-6, "{name}: losses differ by {losses:e}");
    });
}

/// Sums over replicas that begin while gradients still form, and the same in their place.
#[test]
fn sums_that_begin_early_are_the_same_bits() {
    if have::worker().is_none() {
        return;
    }
    let ranks = [
        "cluster.gpus_per_node=4",
        "plan.tp=1",
        "plan.pp=2",
        "plan.dp=2",
    ];
    for zero in ["plan.zero=0", "plan.zero=1"] {
        let settings = [&SHORT[..], &ranks, &[zero]].concat();
        let home = Workspace::new();
        succeed(&mut home.run(pleach_tests::job::QUICKSTART, &settings));
        let early = Trained::read(&home.only_run());
        let away = home.beside();
        let mut command = away.run(pleach_tests::job::QUICKSTART, &settings);
        succeed(command.env("PLEACH_OVERLAP", "0"));
        let late = Trained::read(&away.only_run());
        assert_eq!(early.losses, late.losses, "{zero}");
        assert!(same_bits(&early.checkpoint(20), &late.checkpoint(20)));
    }
}
