//! How the weights begin.

use super::super::{Field, Need, Section, Type};
use crate::quantity::Dimension;

/// The kinds of initial weights.
pub const INITS: &[&Section] = &[
    &SMALL_INIT,
    &WANG_INIT,
    &XAVIER_NORMAL,
    &XAVIER_UNIFORM,
    &NORMAL,
];

const OUTPUTS: &[&str] = &["wang_init", "small_init", "xavier_normal", "xavier_uniform"];

const fn output(default: &'static str) -> Field {
    Field::new(
        "output",
        Type::Words(OUTPUTS),
        Need::Default(default),
        "Matrices that write to the residual stream; `wang_init` is 2 / (layers * sqrt(hidden)).",
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
