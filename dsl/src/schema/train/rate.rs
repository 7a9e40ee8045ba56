//! Learning-rate schedules of a whole run: a linear warm-up to `peak`, then a shape down to `end`.
//!
//! Programs that call a schedule by the same name do not compute the same numbers, so the numbers have a `version`; what each of them does is
//! written at `experiment::Version`.

use super::super::{Field, Need, Section, Type};
use crate::quantity::Dimension;

/// All of them.
pub const KINDS: &[&Section] = &[
    &COSINE,
    &CONSTANT,
    &LINEAR,
    &WSD,
    &EXPONENTIAL,
    &INVERSE_SQRT,
];

/// Whose numbers a schedule gives.
pub const VERSIONS: &[&str] = &["plain", "neox_v1", "neox_2026"];

/// How a decay falls.
pub const DECAYS: &[&str] = &["linear", "cosine", "exponential", "sqrt"];

const PEAK: Field = Field::new(
    "peak",
    Type::Number(Dimension::NONE),
    Need::Required,
    "Rate after the warm-up.",
);

const OVER: Field = Field::new(
    "over",
    Type::StepsRoundedUp,
    Need::Default("steps"),
    "Steps from the beginning of the run until `end` is reached.",
)
.quiet();

const VERSION: Field = Field::new(
    "version",
    Type::Words(VERSIONS),
    Need::Default("plain"),
    "Whose numbers: the plain formula, GPT-NeoX v1.0 (which trained Pythia), or GPT-NeoX of 2026.",
)
.quiet();

const fn warmup(default: &'static str) -> Field {
    Field::new(
        "warmup",
        Type::StepsRoundedUp,
        Need::Default(default),
        "Steps of warm-up, rounded up.",
    )
}

const fn end(default: &'static str, doc: &'static str) -> Field {
    Field::new("end", Type::Plain, Need::Default(default), doc)
}

static COSINE: Section = Section {
    name: "cosine",
    doc: "Linear warm-up, then half a cosine down to the end of the run.",
    fields: &[
        PEAK,
        end("10% of peak", "Rate at the end of the run."),
        warmup("1% of steps"),
        OVER,
        VERSION,
    ],
    later: &[],
};

static CONSTANT: Section = Section {
    name: "constant",
    doc: "Linear warm-up, then the same rate to the end of the run.",
    fields: &[PEAK, warmup("0 steps"), VERSION],
    later: &[],
};

static LINEAR: Section = Section {
    name: "linear",
    doc: "Linear warm-up, then a straight line down to the end of the run.",
    fields: &[
        PEAK,
        end("0", "Rate at the end of the run."),
        warmup("1% of steps"),
        OVER,
        VERSION,
    ],
    later: &[],
};

static EXPONENTIAL: Section = Section {
    name: "exponential",
    doc: "Linear warm-up, then the same share lost in every step.",
    fields: &[
        PEAK,
        end(
            "10% of peak",
            "Rate at the end of the run, above 0; in GPT-NeoX, which halves the rate over the run, only its lower bound.",
        ),
        warmup("1% of steps"),
        OVER,
        VERSION,
    ],
    later: &[],
};

static WSD: Section = Section {
    name: "wsd",
    doc: "Warm-up, stable, decay: linear warm-up, the same rate, and at the end of the run a decay.",
    fields: &[
        PEAK,
        warmup("1% of steps"),
        Field::new(
            "decay",
            Type::StepsRoundedUp,
            Need::Default("last(10% of steps)"),
            "Steps of decay at the end of the run, rounded up.",
        ),
        end("0", "Rate at the end of the run."),
        Field::new(
            "shape",
            Type::Words(DECAYS),
            Need::Default("linear"),
            "How the decay falls; `sqrt` falls as one minus the square root of its progress.",
        ),
        OVER,
    ],
    later: &[],
};

static INVERSE_SQRT: Section = Section {
    name: "inverse_sqrt",
    doc: "Linear warm-up, then a fall with the square root of the steps done.",
    fields: &[
        PEAK,
        warmup("1% of steps"),
        end("0", "The rate never falls below this."),
    ],
    later: &[],
};
