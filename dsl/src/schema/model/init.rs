//! Standard deviations of the initial weights.

use super::super::{Field, Need, Section, Type};
use crate::quantity::Dimension;

/// The kinds of initial weights.
pub const INITS: &[&Section] = &[&SMALL_INIT, &NORMAL];

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
