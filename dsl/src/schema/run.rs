//! Fields of what a run writes while it trains: checkpoints.

use super::{Field, Need, Section, Type};
use crate::quantity::Dimension;

/// When a run is saved.
pub static CHECKPOINTS: Section = Section {
    name: "checkpoints",
    doc: "When the run is saved, besides at its end.",
    fields: &[
        Field::new(
            "every",
            Type::Whole(Dimension::STEPS),
            Need::Default("none"),
            "Every so many steps, or `none`.",
        )
        .or_none(),
        Field::new(
            "keep",
            Type::Count(1),
            Need::Default("3"),
            "How many of the newest stay on disk.",
        ),
    ],
    later: &["also"],
};
