//! What follows a step that is not finite. In every case its update is left out, so that no weight is spoilt by it.

use super::super::{Field, Need, Section, Type};

/// What can follow.
pub const KINDS: &[&Section] = &[&HALT, &SKIP, &ROLL_BACK];

static HALT: Section = Section {
    name: "halt",
    doc: "The run is saved as it was before the step, and ends; its message names the samples.",
    fields: &[],
    later: &[],
};

static SKIP: Section = Section {
    name: "skip",
    doc: "The step's update is left out, and the run goes on with the next samples.",
    fields: &[Field::new(
        "in_a_row",
        Type::Count(1),
        Need::Default("10"),
        "So many steps one behind the other; at the next the run halts.",
    )],
    later: &[],
};

static ROLL_BACK: Section = Section {
    name: "roll_back",
    doc: "The run goes back to its last checkpoint; a step that is not finite a second time is skipped.",
    fields: &[Field::new(
        "times",
        Type::Count(1),
        Need::Default("3"),
        "So often in all; at the next the run halts.",
    )],
    later: &[],
};
