//! Fields of a model.

use super::{Field, Need, Section, Type};
use crate::quantity::Dimension;

/// The transformer family: every decoder-only transformer is one of these with some fields replaced.
pub static TRANSFORMER: Section = Section {
    name: "transformer",
    doc: "A decoder-only transformer.",
    fields: &[
        Field::new(
            "about",
            Type::Text,
            Need::Optional,
            "What the model is; it changes nothing.",
        ),
        Field::new(
            "layers",
            Type::Count(1),
            Need::Required,
            "Number of layers.",
        ),
        Field::new(
            "hidden",
            Type::Count(1),
            Need::Required,
            "Width of the residual stream.",
        ),
        Field::new(
            "heads",
            Type::Count(1),
            Need::Required,
            "Attention heads of a layer.",
        ),
        Field::new(
            "head_dim",
            Type::Count(1),
            Need::Default("hidden / heads"),
            "Width of a head.",
        ),
        Field::new(
            "context",
            Type::Whole(Dimension::TOKENS),
            Need::Required,
            "Length of a sequence.",
        ),
        Field::new(
            "vocab",
            Type::Count(2),
            Need::Required,
            "Rows of the embedding.",
        ),
        Field::new(
            "positions",
            Type::Variant(&[&ROTARY, &NO_POSITIONS]),
            Need::Default("rotary"),
            "How positions enter.",
        ),
        Field::new(
            "residual",
            Type::Variant(&[&SEQUENTIAL, &PARALLEL]),
            Need::Default("sequential"),
            "How the two halves of a layer meet.",
        ),
        Field::new(
            "norm",
            Type::Variant(&[&LAYERNORM]),
            Need::Default("layernorm"),
            "The norm in front of each half and of the head.",
        ),
        Field::new(
            "mlp",
            Type::Variant(&[&GELU]),
            Need::Default("gelu"),
            "The feed-forward half of a layer.",
        ),
        Field::new(
            "tied",
            Type::Truth,
            Need::Default("false"),
            "Whether embedding and head share their rows.",
        ),
        Field::new(
            "init",
            Type::Variant(&[&SMALL_INIT, &NORMAL_INIT]),
            Need::Default("small_init"),
            "Standard deviations of the initial weights.",
        ),
    ],
    later: &[
        "kv_heads", "stack", "window", "dropout", "rmsnorm", "swiglu", "relu", "moe", "mamba",
        "learned", "alibi", "decoder",
    ],
};

static ROTARY: Section = Section {
    name: "rotary",
    doc: "Rotation of the first part of each head.",
    fields: &[
        Field::new(
            "fraction",
            Type::Fraction,
            Need::Default("100%"),
            "Part of the head that is rotated.",
        ),
        Field::new(
            "base",
            Type::Number(Dimension::NONE),
            Need::Default("10_000"),
            "Base of the frequencies.",
        ),
    ],
    later: &["scale"],
};

static NO_POSITIONS: Section = Section {
    name: "none",
    doc: "No positions.",
    fields: &[],
    later: &[],
};

static SEQUENTIAL: Section = Section {
    name: "sequential",
    doc: "Attention first; the MLP reads what it left.",
    fields: &[],
    later: &[],
};

static PARALLEL: Section = Section {
    name: "parallel",
    doc: "Attention and MLP read the same input.",
    fields: &[Field::new(
        "norms",
        Type::Words(&["separate", "shared"]),
        Need::Default("separate"),
        "Whether each half has a norm of its own.",
    )],
    later: &[],
};

static LAYERNORM: Section = Section {
    name: "layernorm",
    doc: "Mean and variance, weight and bias.",
    fields: &[Field::new(
        "eps",
        Type::Number(Dimension::NONE),
        Need::Default("1e-5"),
        "Added to the variance.",
    )],
    later: &[],
};

static GELU: Section = Section {
    name: "gelu",
    doc: "Two matrices with an exact GELU between them.",
    fields: &[Field::new(
        "width",
        Type::Count(1),
        Need::Default("4 * hidden"),
        "Width between the two matrices.",
    )],
    later: &[],
};

static SMALL_INIT: Section = Section {
    name: "small_init",
    doc: "Normal with sqrt(2 / (5 * hidden)).",
    fields: &[Field::new(
        "output",
        Type::Words(&["wang_init", "small_init"]),
        Need::Default("wang_init"),
        "Matrices that write to the residual stream; `wang_init` is 2 / (layers * sqrt(hidden)).",
    )],
    later: &[],
};

static NORMAL_INIT: Section = Section {
    name: "normal",
    doc: "Normal with a standard deviation that is written down.",
    fields: &[
        Field::new(
            "std",
            Type::Number(Dimension::NONE),
            Need::Default("0.02"),
            "Standard deviation.",
        ),
        Field::new(
            "output",
            Type::Number(Dimension::NONE),
            Need::Default("std / sqrt(2 * layers)"),
            "The same for matrices that write to the residual stream.",
        ),
    ],
    later: &[],
};
