//! What mixes positions: attention and Mamba.

use super::super::{Field, Need, Section, Type};
use super::parts::{NONE, NORMS, POSITIONS};
use crate::quantity::Dimension;

/// The kinds of a mixer.
pub const MIXERS: &[&Section] = &[&ATTENTION, &MAMBA, &NONE];

/// Causal softmax attention.
pub static ATTENTION: Section = Section {
    name: "attention",
    doc: "Causal softmax attention.",
    fields: &[
        Field::new(
            "heads",
            Type::Count(1),
            Need::Outer(None),
            "Attention heads; by default the model's.",
        ),
        Field::new(
            "kv_heads",
            Type::Count(1),
            Need::Outer(Some("heads")),
            "Heads of keys and values; by default the model's, else as many as heads.",
        ),
        Field::new(
            "head_dim",
            Type::Count(1),
            Need::Outer(Some("hidden / heads")),
            "Width of a head; by default the model's.",
        ),
        Field::new(
            "positions",
            Type::Variant(POSITIONS),
            Need::Outer(Some("none")),
            "How positions enter; by default as the model says.",
        ),
        Field::new(
            "window",
            Type::Whole(Dimension::TOKENS),
            Need::Outer(Some("none")),
            "How far back a position looks, or `none`; by default the model's.",
        )
        .or_none(),
        Field::new(
            "bias",
            Type::Truth,
            Need::Default("biases"),
            "Whether queries, keys and values have a bias.",
        ),
        Field::new(
            "output_bias",
            Type::Truth,
            Need::Default("bias"),
            "Whether the output matrix has a bias.",
        ),
        Field::new(
            "qk_norm",
            Type::Variant(NORMS),
            Need::Outer(Some("none")),
            "A norm of queries and keys, or `none`.",
        ),
        Field::new("share", Type::Text, Need::Optional, super::parts::SHARE),
    ],
    later: &[],
};

/// The selective state space of Gu and Dao, 2023 (arXiv:2312.00752).
pub static MAMBA: Section = Section {
    name: "mamba",
    doc: "A selective state space with a short convolution in front.",
    fields: &[
        Field::new(
            "state",
            Type::Count(1),
            Need::Default("16"),
            "Numbers of state per channel.",
        ),
        Field::new(
            "expand",
            Type::Count(1),
            Need::Default("2"),
            "Inner width over `hidden`.",
        ),
        Field::new(
            "conv",
            Type::Count(1),
            Need::Default("4"),
            "Width of the convolution.",
        ),
        Field::new(
            "dt_rank",
            Type::Count(1),
            Need::Default("ceil(hidden / 16)"),
            "Rank of the step size's projection.",
        ),
        Field::new(
            "bias",
            Type::Truth,
            Need::Default("false"),
            "Whether the two projections have a bias.",
        ),
        Field::new(
            "conv_bias",
            Type::Truth,
            Need::Default("true"),
            "Whether the convolution has a bias.",
        ),
        Field::new("share", Type::Text, Need::Optional, super::parts::SHARE),
    ],
    later: &[],
};
