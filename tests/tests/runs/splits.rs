//! Sums in one order: however replicas, stages and micro-batches are cut, not a bit of what is trained changes.
//!
//! In come two models and placements of them on 1 to 8 ranks; out come losses and a last checkpoint that are the same bit for bit,
//! also behind a kill; and a run whose sums follow the placement, which differs, so that the comparison is worth something.

use pleach_tests::have;
use pleach_tests::job::{QUICKSTART, Workspace, succeed};

use super::compare::{Trained, same_bits};
use super::matrix::{GPT2, NEOX, Row, all_settings, train};

const FP32: &str = "train.precision=fp32";
const BF16: &str = "train.precision=bf16";
const ORDERED: &str = "train.sums=reproducible { lanes = 8 }";

/// A width that fills no vector, so that what kernels do with the rest shows.
const ODD: &str = "model.mlp=gelu { width = 37 }";

const PLACEMENTS: [&[&str]; 7] = [
    &["micro_batch=1 sequences", "recompute=full"],
    &["dp=2", "micro_batch=1 sequences"],
    &["dp=4", "zero=1", "micro_batch=1 sequences"],
    &["dp=4", "zero=1", "shards=2", "micro_batch=1 sequences"],
    &["dp=8", "micro_batch=1 sequences"],
    &["pp=2", "vpp=2", "micro_batch=1 sequences"],
    &["pp=2", "dp=2", "zero=1", "micro_batch=1 sequences"],
];

fn bits(one: &Trained) -> Vec<u64> {
    one.losses.iter().map(|loss| loss.to_bits()).collect()
}

fn agree(row: &Row, more: &[&'static str], precision: &'static str) {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    let with = |own: &[&'static str]| [row.model, more, own].concat();
    let ordered = with(&[ORDERED]);
    let row = Row {
        model: &ordered,
        placements: &[],
    };
    let one = train(&home, &row, &["micro_batch=1 sequences"], precision);
    for placement in PLACEMENTS {
        let away = home.beside();
        let other = train(&away, &row, placement, precision);
        let name = placement.join(", ");
        assert_eq!(bits(&one), bits(&other), "{name}: losses");
        let same = same_bits(&one.checkpoint(20), &other.checkpoint(20));
        assert!(same, "{name}: weights and moments");
    }
    let plain = with(&[]);
    let row = Row {
        model: &plain,
        placements: &[],
    };
    let away = home.beside();
    let fast = train(&away, &row, &["dp=2", "micro_batch=1 sequences"], precision);
    assert_ne!(bits(&one), bits(&fast), "another order rounds otherwise");
}

#[test]
fn in_fp32_no_cut_changes_a_bit() {
    agree(&NEOX, &[], FP32);
}

/// Embedding and head share a matrix; branches drop.
#[test]
fn in_bf16_no_cut_of_a_tied_model_changes_a_bit() {
    agree(&GPT2, &[], BF16);
}

/// What another placement left is gone on with, to the bit.
#[test]
fn a_run_that_goes_on_elsewhere_ends_with_the_same_bits() {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    let model = [NEOX.model, &[ORDERED]].concat();
    let row = Row {
        model: &model,
        placements: &[],
    };
    let whole = train(&home, &row, &["micro_batch=1 sequences"], FP32);
    let away = home.beside();
    let dealt = ["dp=4", "zero=1", "micro_batch=1 sequences"];
    let settings = all_settings(&row, &dealt, FP32);
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let mut command = away.run(QUICKSTART, &settings);
    succeed(command.args(["--steps", "7"]));
    let staged = [
        "plan.dp=1",
        "plan.zero=0",
        "plan.pp=2",
        "cluster.gpus_per_node=2",
    ];
    let mut command = away.pleach(["resume", "--yes", "--no-progress"]);
    command.args(staged.iter().flat_map(|setting| ["--set", setting]));
    succeed(command.arg(away.only_run()));
    let resumed = Trained::read(&away.only_run());
    assert_eq!(bits(&whole), bits(&resumed), "losses");
    assert!(same_bits(&whole.checkpoint(20), &resumed.checkpoint(20)));
}

/// Lanes of two sequences each, which pass one by one or together.
#[test]
fn sequences_that_pass_together_change_no_bit() {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    let model = [NEOX.model, &[ODD, "train.sums=reproducible { lanes = 4 }"]].concat();
    let row = Row {
        model: &model,
        placements: &[],
    };
    let one = train(&home, &row, &["micro_batch=1 sequences"], FP32);
    for placement in [
        &["micro_batch=2 sequences"][..],
        &["micro_batch=2 sequences", "dp=2", "zero=1"],
        &["micro_batch=2 sequences", "pp=4"],
    ] {
        let away = home.beside();
        let other = train(&away, &row, placement, FP32);
        let name = placement.join(", ");
        assert_eq!(bits(&one), bits(&other), "{name}: losses");
        let same = same_bits(&one.checkpoint(20), &other.checkpoint(20));
        assert!(same, "{name}: weights and moments");
    }
}
