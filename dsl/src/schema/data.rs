//! Fields of a dataset.

use super::{Field, Need, Section, Type};
use crate::quantity::Dimension;

/// A dataset: a source, a tokenizer and a mix.
pub static DATASET: Section = Section {
    name: "dataset",
    doc: "Text, how it becomes tokens, and in which shares.",
    fields: &[
        Field::new(
            "about",
            Type::Text,
            Need::Optional,
            "What the data is; it changes nothing.",
        ),
        Field::new(
            "source",
            Type::Text,
            Need::Required,
            "Where it comes from: `cargo:dependencies`, `hf:…`.",
        ),
        Field::new(
            "tokenizer",
            Type::Text,
            Need::Required,
            "`bytes` or `hf:…`.",
        ),
        Field::new(
            "mix",
            Type::Table(&MIX),
            Need::Optional,
            "The components and their shares.",
        ),
        Field::new(
            "split",
            Type::Numbers,
            Need::Optional,
            "Shares for training, validation and test.",
        ),
    ],
    later: &["repeat", "filter", "shuffle", "pack"],
};

/// The columns of a mix.
pub static MIX: Section = Section {
    name: "mix",
    doc: "One component a row.",
    fields: &[
        Field::new("name", Type::Text, Need::Required, "The component."),
        Field::new(
            "files",
            Type::Texts,
            Need::Optional,
            "Globs over the source's files.",
        ),
        Field::new(
            "weight",
            Type::Fraction,
            Need::Optional,
            "Its share of the tokens.",
        ),
        Field::new(
            "size",
            Type::Number(Dimension::BYTES),
            Need::Optional,
            "Its size.",
        ),
        Field::new(
            "epochs",
            Type::Number(Dimension::NONE),
            Need::Optional,
            "How often it is passed over while the whole mix is passed once.",
        ),
    ],
    later: &[],
};
