//! Number formats. Only `fp16` has fields: its range is so small that the loss is scaled before gradients are taken.

use super::super::{Field, Need, Section, Type};
use crate::quantity::Dimension;

/// Formats of products and activations.
pub const KINDS: &[&Section] = &[&FP64, &FP32, &BF16, &FP16];

/// Formats of sums, as words.
pub const FORMATS: &[&str] = &["fp64", "fp32", "bf16", "fp16"];

static FP64: Section = Section {
    name: "fp64",
    doc: "Everything in 64 bits: for proofs.",
    fields: &[],
    later: &[],
};

static FP32: Section = Section {
    name: "fp32",
    doc: "Everything in 32 bits.",
    fields: &[],
    later: &[],
};

static BF16: Section = Section {
    name: "bf16",
    doc: "Products in bfloat16; master weights and moments in 32 bits.",
    fields: &[],
    later: &[],
};

static FP16: Section = Section {
    name: "fp16",
    doc: "Products in IEEE half precision with a scaled loss; master weights and moments in 32 bits.",
    fields: &[
        Field::new(
            "scale",
            Type::Number(Dimension::NONE),
            Need::Default("none"),
            "A fixed scale of the loss, or `none` for one that follows the gradients.",
        )
        .or_none()
        .quiet(),
        Field::new(
            "initial_scale",
            Type::Number(Dimension::NONE),
            Need::Default("65_536"),
            "Where a scale that follows begins.",
        )
        .quiet(),
        Field::new(
            "window",
            Type::Whole(Dimension::STEPS),
            Need::Default("1000 steps"),
            "After so many steps without overflow the scale is doubled.",
        )
        .quiet(),
        Field::new(
            "hysteresis",
            Type::Count(1),
            Need::Default("2"),
            "Overflows before the scale is halved.",
        )
        .quiet(),
        Field::new(
            "min_scale",
            Type::Number(Dimension::NONE),
            Need::Default("1"),
            "The scale never falls below this.",
        )
        .quiet(),
    ],
    later: &[],
};
