//! Parts around the mixer and the feed-forward half: the layer that joins them, norms, residuals, positions, embedding and head.

use super::super::{Field, Need, Section, Type};
use super::mixer::MIXERS;
use super::mlp::MLPS;
use crate::quantity::Dimension;

/// How positions can enter.
pub const POSITIONS: &[&Section] = &[&ROTARY, &LEARNED, &ALIBI, &NONE];

/// The norms.
pub const NORMS: &[&Section] = &[&LAYERNORM, &RMSNORM, &NONE];

/// How the halves of a layer meet the residual stream.
pub const RESIDUALS: &[&Section] = &[&SEQUENTIAL, &PARALLEL];

/// What `share` means on every part that has it.
pub const SHARE: &str = "A name; parts of the same name, written alike, use one set of weights.";

/// Nothing of the sort.
pub static NONE: Section = Section {
    name: "none",
    doc: "Nothing of the sort.",
    fields: &[],
    later: &[],
};

/// One layer: what mixes positions, what works on each alone, and how they meet the residual stream.
pub static LAYER: Section = Section {
    name: "layer",
    doc: "One layer; `layer(a, b)` is short for `layer { mixer = a, mlp = b }`.",
    fields: &[
        Field::new(
            "mixer",
            Type::Variant(MIXERS),
            Need::Required,
            "What mixes positions.",
        ),
        Field::new(
            "mlp",
            Type::Variant(MLPS),
            Need::Default("none"),
            "What works on each position alone.",
        ),
        Field::new(
            "residual",
            Type::Variant(RESIDUALS),
            Need::Outer(Some("sequential")),
            "How the two halves meet; by default as the model says.",
        ),
        Field::new(
            "norm",
            Type::Variant(NORMS),
            Need::Outer(Some("layernorm")),
            "The norm of each half; by default the model's.",
        ),
        Field::new("share", Type::Text, Need::Optional, SHARE),
    ],
    later: &[],
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
        Field::new(
            "scale",
            Type::Number(Dimension::NONE),
            Need::Default("1"),
            "What positions are divided by, so that longer sequences look like those of the training (linear interpolation).",
        ),
    ],
    later: &[],
};

static LEARNED: Section = Section {
    name: "learned",
    doc: "A table with a row for each position, added to the embedding.",
    fields: &[Field::new(
        "rows",
        Type::Whole(Dimension::TOKENS),
        Need::Default("context"),
        "Positions the table has rows for; OPT has two more than it uses.",
    )],
    later: &[],
};

static ALIBI: Section = Section {
    name: "alibi",
    doc: "Scores fall with distance, by a slope for each head.",
    fields: &[],
    later: &[],
};

static SEQUENTIAL: Section = Section {
    name: "sequential",
    doc: "The mixer first; the feed-forward half reads what it left.",
    fields: &[Field::new(
        "norms",
        Type::Words(&["before", "after", "both", "output"]),
        Need::Default("before"),
        "`before` each half (GPT-2), `after` the sum (the first transformer), `both` before and after each half (a sandwich), or on each half's `output`.",
    )],
    later: &[],
};

static PARALLEL: Section = Section {
    name: "parallel",
    doc: "Mixer and feed-forward half read the same input.",
    fields: &[Field::new(
        "norms",
        Type::Words(&["separate", "shared"]),
        Need::Default("separate"),
        "Whether each half has a norm of its own.",
    )],
    later: &[],
};

const EPS: Field = Field::new(
    "eps",
    Type::Number(Dimension::NONE),
    Need::Default("1e-5"),
    "Added to the variance.",
);

static LAYERNORM: Section = Section {
    name: "layernorm",
    doc: "Mean and variance, a weight and a bias.",
    fields: &[
        EPS,
        Field::new(
            "bias",
            Type::Truth,
            Need::Default("true"),
            "Whether it has a bias.",
        ),
    ],
    later: &[],
};

static RMSNORM: Section = Section {
    name: "rmsnorm",
    doc: "Root mean square, and a weight.",
    fields: &[EPS],
    later: &[],
};

/// Between token ids and the first layer.
pub static EMBEDDING: Section = Section {
    name: "embedding",
    doc: "What happens between token ids and the first layer.",
    fields: &[
        Field::new(
            "norm",
            Type::Variant(NORMS),
            Need::Default("none"),
            "A norm behind the embedding (BLOOM), or `none`.",
        ),
        Field::new(
            "scale",
            Type::Number(Dimension::NONE),
            Need::Default("1"),
            "What the rows are multiplied by; `sqrt(hidden)` in some models.",
        ),
    ],
    later: &[],
};

/// Between the last layer and the logits.
pub static HEAD: Section = Section {
    name: "head",
    doc: "What happens between the last layer and the logits.",
    fields: &[
        Field::new(
            "norm",
            Type::Variant(NORMS),
            Need::Outer(Some("layernorm")),
            "The norm in front; by default the model's.",
        ),
        Field::new(
            "bias",
            Type::Truth,
            Need::Default("false"),
            "Whether the logits have a bias.",
        ),
        Field::new(
            "cap",
            Type::Number(Dimension::NONE),
            Need::Default("none"),
            "Logits are bent to stay below this by tanh, or `none`.",
        )
        .or_none(),
    ],
    later: &[],
};
