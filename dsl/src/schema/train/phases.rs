//! Columns of a curriculum, and the learning rates that a phase can have: each begins where the one before it ended.

use super::super::{DATASET, Field, Need, Section, Type};
use crate::quantity::Dimension;
use crate::syntax::Kind;

/// A phase of training.
pub static PHASE: Section = Section {
    name: "phase",
    doc: "A part of the run with its own length, data, context, batch and learning rate.",
    fields: &[
        Field::new(
            "lasts",
            Type::Length,
            Need::Required,
            "Its length in tokens or steps; it ends with the first step that reaches it.",
        ),
        Field::new(
            "data",
            Type::Declared(Kind::Dataset, &DATASET),
            Need::Optional,
            "What it trains on.",
        ),
        Field::new(
            "context",
            Type::Whole(Dimension::TOKENS),
            Need::Default("model.context"),
            "Length of its sequences, at most the model's.",
        ),
        Field::new(
            "global_batch",
            Type::Batch,
            Need::Required,
            "Tokens or sequences of a step, over all replicas.",
        ),
        Field::new(
            "lr",
            Type::Variant(SEGMENTS),
            Need::Optional,
            "How the learning rate goes on.",
        )
        .named(Kind::Schedule),
    ],
    later: &[],
};

/// Whole steps of a phase: computed, and therefore no column.
pub static PHASE_STEPS: Field = Field::new(
    "steps",
    Type::Whole(Dimension::STEPS),
    Need::Default("ceil(lasts / global_batch)"),
    "Steps of the phase: the first that reaches its length ends it.",
);

/// What a phase does to the learning rate.
pub const SEGMENTS: &[&Section] = &[&LINEAR, &COSINE, &CONSTANT, &EXPONENTIAL, &SQRT];

const FROM: Field = Field::new(
    "from",
    Type::Plain,
    Need::Optional,
    "Rate at its beginning; left out, the rate at which the phase above ended, or 0 in the first.",
);

const TO: Field = Field::new("to", Type::Plain, Need::Required, "Rate at its last step.");

static LINEAR: Section = Section {
    name: "linear",
    doc: "In a phase: a straight line from where the rate was.",
    fields: &[FROM, TO],
    later: &[],
};

static COSINE: Section = Section {
    name: "cosine",
    doc: "In a phase: half a cosine from where the rate was.",
    fields: &[FROM, TO],
    later: &[],
};

static EXPONENTIAL: Section = Section {
    name: "exponential",
    doc: "In a phase: the same share lost in every step, from where the rate was.",
    fields: &[FROM, TO],
    later: &[],
};

static SQRT: Section = Section {
    name: "sqrt",
    doc: "In a phase: from where the rate was, with one minus the square root of the progress.",
    fields: &[FROM, TO],
    later: &[],
};

static CONSTANT: Section = Section {
    name: "constant",
    doc: "In a phase: the same rate.",
    fields: &[Field::new(
        "at",
        Type::Plain,
        Need::Optional,
        "The rate; left out, the one at which the phase above ended.",
    )],
    later: &[],
};
