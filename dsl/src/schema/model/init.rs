//! How the weights begin.

use super::super::{Field, Need, Section, Type};
use crate::quantity::Dimension;

/// The kinds of initial weights.
pub const INITS: &[&Section] = &[
    &SMALL_INIT,
    &WANG_INIT,
    &XAVIER_NORMAL,
    &XAVIER_UNIFORM,
    &ORTHOGONAL,
    &NORMAL,
];

const OUTPUTS: &[&str] = &[
    "wang_init",
    "small_init",
    "xavier_normal",
    "xavier_uniform",
    "orthogonal",
    "scaled_orthogonal",
];

const fn output(default: &'static str) -> Field {
    Field::new(
        "output",
        Type::Words(OUTPUTS),
        Need::Default(default),
        "Matrices that write to the residual stream; `wang_init` is 2 / (layers * sqrt(hidden)), `scaled_orthogonal` is sqrt(2 / layers).",
    )
}

static SMALL_INIT: Section = Section {
    name: "small_init",
    doc: "Normal with sqrt(2 / (5 * hidden)).",
    fields: &[output("wang_init")],
    later: &[],
};

static WANG_INIT: Section = Section {
    name: "wang_init",
    doc: "Normal with 2 / (layers * sqrt(hidden)).",
    fields: &[output("wang_init")],
    later: &[],
};

static XAVIER_NORMAL: Section = Section {
    name: "xavier_normal",
    doc: "Normal with sqrt(2 / (rows + columns)) of each matrix, all heads and their queries, keys and values in one.",
    fields: &[output("xavier_normal")],
    later: &[],
};

static XAVIER_UNIFORM: Section = Section {
    name: "xavier_uniform",
    doc: "Evenly between -a and a, with a = sqrt(6 / (rows + columns)) of each matrix, all heads and their queries, keys and values in one.",
    fields: &[output("xavier_uniform")],
    later: &[],
};

static ORTHOGONAL: Section = Section {
    name: "orthogonal",
    doc: "At right angles: of each matrix the rows, or the columns where they are fewer, each sqrt(2) long, all heads and their queries, keys and values in one. Every rank makes whole matrices, which takes its time where they are large.",
    fields: &[output("scaled_orthogonal")],
    later: &[],
};

static NORMAL: Section = Section {
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
