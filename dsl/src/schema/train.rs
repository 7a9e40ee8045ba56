//! Fields of training and of checkpoints.

use super::{Field, Need, Section, Type};
use crate::quantity::Dimension;

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
            Type::Variant(&[&ADAMW]),
            Need::Default("adamw"),
            "The optimizer.",
        ),
        Field::new(
            "lr",
            Type::Variant(&[&COSINE, &CONSTANT]),
            Need::Required,
            "The learning rate over the run.",
        ),
        Field::new(
            "clip",
            Type::Number(Dimension::NONE),
            Need::Default("1.0"),
            "Largest gradient norm, or `none`.",
        )
        .or_none(),
        Field::new(
            "precision",
            Type::Words(&["fp64", "fp32", "bf16", "fp16"]),
            Need::Default("bf16"),
            "The number format.",
        ),
    ],
    later: &[
        "phases",
        "accumulate",
        "loss",
        "wsd",
        "linear",
        "adam",
        "sgd",
        "lion",
        "muon",
        "fp8",
    ],
};

static ADAMW: Section = Section {
    name: "adamw",
    doc: "Adam with decoupled weight decay.",
    fields: &[
        Field::new(
            "betas",
            Type::Numbers,
            Need::Default("[0.9, 0.95]"),
            "Decays of the two moments.",
        ),
        Field::new(
            "eps",
            Type::Number(Dimension::NONE),
            Need::Default("1e-8"),
            "Added to the denominator.",
        ),
        Field::new(
            "weight_decay",
            Type::Plain,
            Need::Default("0.1"),
            "Decay of the matrices; biases and norms do not decay.",
        ),
    ],
    later: &[],
};

static COSINE: Section = Section {
    name: "cosine",
    doc: "Linear warm-up, then half a cosine down to the end of the run.",
    fields: &[
        Field::new(
            "peak",
            Type::Number(Dimension::NONE),
            Need::Required,
            "Rate after the warm-up.",
        ),
        Field::new(
            "end",
            Type::Plain,
            Need::Default("10% of peak"),
            "Rate at the end of the run.",
        ),
        Field::new(
            "warmup",
            Type::StepsRoundedUp,
            Need::Default("1% of steps"),
            "Steps of warm-up, rounded up.",
        ),
    ],
    later: &[],
};

static CONSTANT: Section = Section {
    name: "constant",
    doc: "Linear warm-up, then the same rate to the end of the run.",
    fields: &[
        Field::new(
            "peak",
            Type::Number(Dimension::NONE),
            Need::Required,
            "Rate after the warm-up.",
        ),
        Field::new(
            "warmup",
            Type::StepsRoundedUp,
            Need::Default("0 steps"),
            "Steps of warm-up, rounded up.",
        ),
    ],
    later: &[],
};

/// When a run is saved.
pub static CHECKPOINTS: Section = Section {
    name: "checkpoints",
    doc: "When the run is saved, besides at its end.",
    fields: &[
        Field::new(
            "every",
            Type::Whole(Dimension::STEPS),
            Need::Default("none"),
            "Every so many steps, or `none`.",
        )
        .or_none(),
        Field::new(
            "keep",
            Type::Count(1),
            Need::Default("3"),
            "How many of the newest stay on disk.",
        ),
    ],
    later: &["also"],
};
