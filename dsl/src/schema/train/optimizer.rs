//! Optimizers. Parameters fall into four groups: matrices, which always decay, and embeddings, biases and norms, which decay where it is said.

use super::super::{Field, Need, Section, Type};
use crate::quantity::Dimension;

/// All of them; the first is the one that is meant most often.
pub const KINDS: &[&Section] = &[&ADAMW, &ADAM, &LION, &SGD];

const EPS: Field = Field::new(
    "eps",
    Type::Number(Dimension::NONE),
    Need::Default("1e-8"),
    "Added to the denominator.",
);

const DECAY_EMBEDDINGS: Field = Field::new(
    "decay_embeddings",
    Type::Truth,
    Need::Default("true"),
    "Whether the tables of tokens and positions decay too.",
)
.quiet();

const DECAY_BIASES: Field = Field::new(
    "decay_biases",
    Type::Truth,
    Need::Default("false"),
    "Whether biases decay too.",
)
.quiet();

const DECAY_NORMS: Field = Field::new(
    "decay_norms",
    Type::Truth,
    Need::Default("false"),
    "Whether the gains of norms decay too.",
)
.quiet();

const fn betas(default: &'static str) -> Field {
    Field::new(
        "betas",
        Type::Numbers,
        Need::Default(default),
        "Decays of the two moments.",
    )
}

const fn weight_decay(default: &'static str, doc: &'static str) -> Field {
    Field::new("weight_decay", Type::Plain, Need::Default(default), doc)
}

static ADAMW: Section = Section {
    name: "adamw",
    doc: "Adam with decoupled weight decay.",
    fields: &[
        betas("[0.9, 0.95]"),
        EPS,
        weight_decay(
            "0.1",
            "Decay of the matrices; biases and norms do not decay unless it is said.",
        ),
        DECAY_EMBEDDINGS,
        DECAY_BIASES,
        DECAY_NORMS,
    ],
    later: &[],
};

static ADAM: Section = Section {
    name: "adam",
    doc: "Adam; its weight decay is added to the gradient.",
    fields: &[
        betas("[0.9, 0.95]"),
        EPS,
        weight_decay(
            "0",
            "Added to the gradient as so many times the weight, so that the moments see it.",
        ),
        DECAY_EMBEDDINGS,
        DECAY_BIASES,
        DECAY_NORMS,
    ],
    later: &[],
};

static LION: Section = Section {
    name: "lion",
    doc: "The sign of a mix of gradient and momentum, with decoupled weight decay.",
    fields: &[
        betas("[0.9, 0.99]"),
        weight_decay(
            "0.1",
            "Decay of the matrices; biases and norms do not decay unless it is said.",
        ),
        DECAY_EMBEDDINGS,
        DECAY_BIASES,
        DECAY_NORMS,
    ],
    later: &[],
};

static SGD: Section = Section {
    name: "sgd",
    doc: "Gradient descent with momentum; its weight decay is added to the gradient.",
    fields: &[
        Field::new(
            "momentum",
            Type::Fraction,
            Need::Default("0.9"),
            "The share of the last update that goes into the next.",
        ),
        Field::new(
            "nesterov",
            Type::Truth,
            Need::Default("false"),
            "Whether the gradient is taken where the momentum leads.",
        ),
        weight_decay("0", "Added to the gradient as so many times the weight."),
        DECAY_EMBEDDINGS,
        DECAY_BIASES,
        DECAY_NORMS,
    ],
    later: &[],
};
