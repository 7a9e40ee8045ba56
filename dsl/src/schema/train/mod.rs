//! Fields of training: its length and batch here, the optimizer, the learning rate and the number formats in a file each.

mod not_finite;
mod optimizer;
mod phases;
mod precision;
mod rate;
mod sums;

use super::{Field, Need, Section, Type};
use crate::quantity::Dimension;
use crate::syntax::Kind;

pub use phases::{PHASE, PHASE_STEPS, SEGMENTS};
pub use rate::KINDS as RATES;

/// How the model is trained.
pub static TRAIN: Section = Section {
    name: "train",
    doc: "Length, batch, optimizer, learning rate, precision.",
    fields: &[
        Field::new(
            "steps",
            Type::Whole(Dimension::STEPS),
            Need::From("tokens", "ceil(tokens / global_batch)"),
            "Length of the run in steps.",
        ),
        Field::new(
            "tokens",
            Type::Number(Dimension::TOKENS),
            Need::From("steps", "steps * global_batch"),
            "Length of the run in tokens.",
        ),
        Field::new(
            "global_batch",
            Type::Batch,
            Need::Required,
            "Tokens or sequences of a step, over all replicas.",
        ),
        Field::new(
            "optimizer",
            Type::Variant(optimizer::KINDS),
            Need::Default("adamw"),
            "The optimizer.",
        ),
        Field::new(
            "lr",
            Type::Variant(rate::KINDS),
            Need::Required,
            "The learning rate over the run.",
        )
        .named(Kind::Schedule),
        Field::new(
            "clip",
            Type::Number(Dimension::NONE),
            Need::Default("1.0"),
            "Largest gradient norm, or `none`.",
        )
        .or_none(),
        Field::new(
            "precision",
            Type::Variant(precision::KINDS),
            Need::Default("bf16"),
            "The number format.",
        ),
        Field::new(
            "accumulate",
            Type::Words(precision::FORMATS),
            Need::Default("if precision == fp64 then fp64 else fp32"),
            "The format in which gradients of micro-batches are summed.",
        )
        .quiet(),
        Field::new(
            "reduce",
            Type::Words(precision::FORMATS),
            Need::Default("accumulate"),
            "The format in which gradients travel between replicas.",
        )
        .quiet(),
        Field::new(
            "loss",
            Type::Variant(&[&CROSS_ENTROPY]),
            Need::Default("cross_entropy"),
            "What is made small.",
        )
        .quiet(),
        Field::new(
            "sums",
            Type::Variant(sums::KINDS),
            Need::Default("fast"),
            "In which order gradients are summed over the samples of a step.",
        )
        .quiet(),
        Field::new(
            "not_finite",
            Type::Variant(not_finite::KINDS),
            Need::Default("halt"),
            "What follows a step whose loss or gradients are not finite.",
        )
        .quiet(),
        Field::new(
            "phases",
            Type::Rows(&PHASE),
            Need::Optional,
            "A curriculum: parts of the run, one after another, with their own data, context, batch and rate.",
        )
        .or_none(),
    ],
    later: &["muon", "fp8"],
};

static CROSS_ENTROPY: Section = Section {
    name: "cross_entropy",
    doc: "The negative logarithm of the probability of the next token, as a mean over tokens.",
    fields: &[
        Field::new(
            "z_loss",
            Type::Plain,
            Need::Default("0"),
            "Weight of the squared logarithm of the softmax's denominator, which is added.",
        )
        .quiet(),
        Field::new(
            "label_smoothing",
            Type::Fraction,
            Need::Default("0%"),
            "The share of the target that is spread over all tokens.",
        )
        .quiet(),
    ],
    later: &[],
};
