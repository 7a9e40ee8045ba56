//! Six small models, each under placements that cut it in every way: what is trained is the same.
//!
//! In come a table of models and, for each, a table of placements; every pair is trained by real workers in fp64 and held against the
//! same model on one rank: the data's order, the gradient of each parameter in the first step, all losses, all final weights.

use pleach_storage::checkpoint::Kind;
use pleach_tests::have;
use pleach_tests::job::{QUICKSTART, Workspace, succeed};

use super::compare::{Trained, loss_difference, state_difference};

/// A model by its style, and the placements it is tried under: what each pins, beside [`PINNED`].
pub(super) struct Row<'r> {
    pub model: &'r [&'static str],
    pub placements: &'r [&'static [&'static str]],
}

/// What all runs share: small, and saved only where it is looked at.
const SMALL: [&str; 7] = [
    "model.hidden=32",
    "model.heads=4",
    "model.context=32 tokens",
    "train.global_batch=8 sequences",
    "train.steps=20 steps",
    "checkpoints.every=none",
    "checkpoints.also=[1 step]",
];

/// A placement where nothing else is said: one rank, two sequences at once.
const PINNED: [(&str, &str); 8] = [
    ("tp", "1"),
    ("pp", "1"),
    ("dp", "1"),
    ("vpp", "1"),
    ("zero", "0"),
    ("sequence_parallel", "false"),
    ("recompute", "none"),
    ("micro_batch", "2 sequences"),
];

/// Rotary positions on a quarter of a head, both halves beside each other.
pub(super) const NEOX: Row = Row {
    model: &["model.layers=4"],
    placements: &[
        &["tp=2"],
        &["tp=4", "sequence_parallel=true"],
        &["pp=2", "recompute=full"],
        &["pp=4", "micro_batch=1"],
        &["pp=2", "vpp=2"],
        &["dp=2", "zero=1"],
        &["dp=8", "zero=2", "micro_batch=1"],
        &["dp=4", "zero=3", "shards=2"],
        &["micro_batch=1", "recompute=selective"],
        &[
            "tp=2",
            "pp=2",
            "dp=2",
            "sequence_parallel=true",
            "recompute=selective",
        ],
    ],
};

/// Learned positions, embedding and head shared, dropout.
pub(super) const GPT2: Row = Row {
    model: &[
        "model.layers=4",
        "model.positions=learned",
        "model.residual=sequential",
        "model.mlp=gelu { form = tanh }",
        "model.tied=true",
        "model.dropout=10%",
    ],
    placements: &[
        &["tp=2", "sequence_parallel=true", "recompute=full"],
        &["tp=4", "micro_batch=4"],
        &["pp=2", "stages=[3, 1]"],
        &["pp=4"],
        &["dp=2", "micro_batch=1"],
        &["dp=4", "zero=1"],
        &["dp=2", "zero=3", "recompute=selective"],
        &["tp=2", "dp=2", "zero=2"],
        &["pp=2", "dp=2", "zero=1", "recompute=full"],
        &["pp=2", "vpp=2", "tp=2"],
    ],
};

/// Root mean squares, gated halves, shared keys and values, no biases.
pub(super) const LLAMA: Row = Row {
    model: &[
        "model.layers=4",
        "model.kv_heads=2",
        "model.positions=rotary",
        "model.residual=sequential",
        "model.norm=rmsnorm",
        "model.biases=false",
        "model.mlp=swiglu { width = 64 }",
    ],
    placements: &[
        &["tp=2", "sequence_parallel=true"],
        &["pp=2", "stages=[1, 3]", "recompute=full"],
        &["pp=2", "vpp=2", "micro_batch=1"],
        &["dp=2", "zero=2"],
        &["dp=4", "zero=3"],
        &["dp=8", "zero=3", "shards=4", "micro_batch=1"],
        &["micro_batch=8"],
        &["recompute=selective", "recompute_budget=600 KiB"],
        &["tp=2", "pp=2", "recompute=selective"],
        &["tp=2", "dp=2", "zero=3", "sequence_parallel=true"],
    ],
};

/// Slopes in place of positions, a norm behind the embedding, embedding and head shared.
pub(super) const BLOOM: Row = Row {
    model: &[
        "model.layers=4",
        "model.positions=alibi",
        "model.residual=sequential",
        "model.embedding.norm=layernorm",
        "model.mlp=gelu { form = tanh }",
        "model.tied=true",
    ],
    placements: &[
        &["tp=2", "recompute=selective"],
        &["tp=4"],
        &["pp=2"],
        &["pp=2", "vpp=2", "recompute=full"],
        &["pp=4", "recompute=selective", "micro_batch=1"],
        &["dp=2", "zero=1", "micro_batch=4"],
        &["dp=4", "zero=2", "shards=2"],
        &["dp=2", "zero=3", "recompute=full"],
        &["tp=2", "dp=4", "zero=1", "micro_batch=1"],
        &["pp=2", "dp=2"],
    ],
};

/// One head of keys and values, which no two ranks can share; one norm for both halves.
pub(super) const FALCON: Row = Row {
    model: &[
        "model.layers=4",
        "model.kv_heads=1",
        "model.positions=rotary",
        "model.residual=parallel { norms = shared }",
        "model.biases=false",
        "model.mlp=gelu",
    ],
    placements: &[
        &["pp=2"],
        &["pp=2", "stages=[3, 1]", "micro_batch=4"],
        &["pp=2", "vpp=2"],
        &["pp=4", "recompute=full"],
        &["dp=2"],
        &["dp=4", "zero=1", "recompute=full"],
        &["dp=4", "zero=2", "micro_batch=1"],
        &["dp=2", "zero=3"],
        &["pp=2", "dp=2", "zero=3"],
        &["pp=2", "dp=4", "zero=1", "micro_batch=1"],
    ],
};

/// Rectified halves, a table of positions with two rows more than are used, layers that no two stages share evenly.
pub(super) const OPT: Row = Row {
    model: &[
        "model.layers=5",
        "model.positions=learned { rows = 34 tokens }",
        "model.residual=sequential",
        "model.mlp=relu",
        "model.tied=true",
    ],
    placements: &[
        &["tp=2", "micro_batch=1"],
        &["tp=4", "sequence_parallel=true", "recompute=selective"],
        &["pp=2", "stages=[4, 1]"],
        &["pp=4", "stages=[1, 2, 1, 1]"],
        &["dp=2", "zero=2", "recompute=selective"],
        &["dp=4", "zero=1", "shards=2"],
        &["dp=8", "zero=1", "micro_batch=1"],
        &["recompute=full"],
        &["tp=2", "pp=2", "stages=[3, 2]", "recompute=full"],
        &["pp=2", "dp=2", "zero=2", "stages=[2, 3]"],
    ],
};

/// Norms on both sides of a half, and of queries and keys; logits and embedding as Gemma has them. Only in formats of 16 bits: `placements.rs`
/// has such a model in fp32.
const SANDWICH: Row = Row {
    model: &[
        "model.layers=4",
        "model.residual=sequential { norms = both }",
        "model.norm=rmsnorm",
        "model.qk_norm=rmsnorm",
        "model.embedding.scale=2",
        "model.head.cap=30",
        "model.tied=true",
    ],
    placements: &[&[
        "tp=2",
        "pp=2",
        "sequence_parallel=true",
        "recompute=selective",
    ]],
};

pub(super) const FP64: &str = "train.precision=fp64";
const FP32: &str = "train.precision=fp32";
const FP16: &str = "train.precision=fp16";
const BF16: &str = "train.precision=bf16";

/// How far losses in bf16 may be apart. Products and the stream of residuals are rounded to 8 bits, off by 2^-9 at most, about 8 times
/// in each of 4 layers; a cut rounds sums at other places. Roundings are independent of each other, so logits of size 1 are apart
/// by about 2^-9 * sqrt(2 * 32) = 2^-6, one target's loss as much, and the mean over the 256 tokens of a step by 2^-10, of losses of 3 to 6.
/// Twenty updates on such gradients add as much again, and four times that leaves room for the tail: (2^-9 / 4) * 4.
const NARROW: f64 = 1.0 / 512.0;

/// The settings of a placement, and the ranks it takes.
fn settings(placement: &[&str]) -> Vec<String> {
    let own = |name: &str| {
        let mut split = placement.iter().filter_map(|pin| pin.split_once('='));
        split.find(|(own, _)| *own == name).map(|(_, value)| value)
    };
    let value = |name: &str, usual: &'static str| own(name).unwrap_or(usual).to_owned();
    let count = |name| value(name, "1").parse::<u32>().expect("a number of ranks");
    let ranks = count("tp") * count("pp") * count("dp");
    let pinned = PINNED.map(|(name, usual)| format!("plan.{name}={}", value(name, usual)));
    let beside = |pin: &&&str| {
        let name = pin.split_once('=').map(|(name, _)| name);
        !PINNED.iter().any(|(pinned, _)| Some(*pinned) == name)
    };
    let more = placement.iter().filter(beside);
    pinned
        .into_iter()
        .chain(more.map(|pin| format!("plan.{pin}")))
        .chain([format!("cluster.gpus_per_node={ranks}")])
        .collect()
}

pub(super) fn train(
    workspace: &Workspace,
    row: &Row,
    placement: &[&str],
    precision: &str,
) -> Trained {
    let all = all_settings(row, placement, precision);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    succeed(&mut workspace.run(QUICKSTART, &all));
    Trained::read(&workspace.only_run())
}

/// Everything that is set for a model under a placement.
pub(super) fn all_settings(row: &Row, placement: &[&str], precision: &str) -> Vec<String> {
    let own = SMALL.iter().chain(row.model).copied();
    let own = own.chain([precision]).map(str::to_owned);
    own.chain(settings(placement)).collect()
}

/// Every placement of a model agrees with one rank: gradients within 1e-10, losses within 1e-12, weights within 1e-9.
fn agree(row: &Row) {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    let one = train(&home, row, &[], FP64);
    assert_eq!(one.losses.len(), 20);
    for placement in row.placements {
        let away = home.beside();
        let other = train(&away, row, placement, FP64);
        let name = placement.join(", ");
        assert_eq!(one.order, other.order, "{name}: the data's order");
        let losses = loss_difference(&one.losses, &other.losses);
        let [gradient, weight] = [(1, Kind::M), (20, Kind::Weight)].map(|(step, kind)| {
            state_difference(&one.checkpoint(step), &other.checkpoint(step), kind)
        });
        println!("{name}: losses {losses:.1e}, gradients {gradient:?}, weights {weight:?}");
        assert!(gradient.0 <= 1e-10, "{name}: gradients {gradient:?}");
        assert!(losses <= 1e-12, "{name}: losses differ by {losses:e}");
        assert!(weight.0 <= 1e-9, "{name}: weights {weight:?}");
    }
}

#[test]
fn neox_is_the_same_in_ten_placements() {
    agree(&NEOX);
}

#[test]
fn gpt2_is_the_same_in_ten_placements() {
    agree(&GPT2);
}

#[test]
fn llama_is_the_same_in_ten_placements() {
    agree(&LLAMA);
}

#[test]
fn bloom_is_the_same_in_ten_placements() {
    agree(&BLOOM);
}

#[test]
fn falcon_is_the_same_in_ten_placements() {
    agree(&FALCON);
}

#[test]
fn opt_is_the_same_in_ten_placements() {
    agree(&OPT);
}

/// Losses under the last placement of each model are as near to one rank's as a format rounds, and not nearer than it does.
fn nearly_agree(rows: &[Row], precision: &str, bound: f64) {
    if have::worker().is_none() {
        return;
    }
    for row in rows {
        let home = Workspace::new();
        let one = train(&home, row, &[], precision);
        let placement = row.placements[row.placements.len() - 1];
        let away = home.beside();
        let other = train(&away, row, placement, precision);
        let losses = loss_difference(&one.losses, &other.losses);
        println!("{precision}, {}: losses {losses:.1e}", placement.join(", "));
        assert!(
            losses <= bound && losses > 0.0,
            "losses differ by {losses:e}"
        );
    }
}

#[test]
fn in_fp32_losses_are_the_same_but_for_roundings() {
    nearly_agree(&[NEOX, GPT2, LLAMA, BLOOM, FALCON, OPT], FP32, 2e-6);
}

/// In the format that models are usually trained in.
#[test]
fn in_bf16_losses_are_no_further_apart_than_roundings() {
    nearly_agree(
        &[NEOX, GPT2, LLAMA, BLOOM, FALCON, OPT, SANDWICH],
        BF16,
        NARROW,
    );
}

/// Three bits more of a number, so an eighth of the distance.
#[test]
fn in_fp16_losses_are_nearer_by_the_bits_that_it_has_more() {
    nearly_agree(&[NEOX, LLAMA, SANDWICH], FP16, NARROW / 8.0);
}
