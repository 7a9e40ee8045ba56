//! The feed-forward half of a layer: two matrices, three with a gate, or experts that each are one of these.

use super::super::{Field, Need, Section, Type};
use super::parts::{NONE, SHARE};
use crate::quantity::Dimension;

/// The kinds of a feed-forward half.
pub const MLPS: &[&Section] = &[&GELU, &RELU, &SWIGLU, &GEGLU, &MOE, &NONE];

/// What an expert can be.
const EXPERTS: &[&Section] = &[&SWIGLU, &GEGLU, &GELU, &RELU];

/// What the gated kinds have between their matrices, by the rule of LLaMA (arXiv:2302.13971): two thirds of four times the width, in whole 256.
const GATED_WIDTH: &str = "ceil(8 * hidden / 3 / 256) * 256";

const fn width(formula: &'static str) -> Field {
    Field::new(
        "width",
        Type::Count(1),
        Need::Default(formula),
        "Width between the matrices.",
    )
}

const BIAS: Field = Field::new(
    "bias",
    Type::Truth,
    Need::Default("biases"),
    "Whether its matrices have a bias.",
);

const SHARED: Field = Field::new("share", Type::Text, Need::Optional, SHARE);

static GELU: Section = Section {
    name: "gelu",
    doc: "Two matrices with a GELU between them.",
    fields: &[
        width("4 * hidden"),
        BIAS,
        Field::new(
            "form",
            Type::Words(&["exact", "tanh"]),
            Need::Default("exact"),
            "GELU by the error function, or its approximation by tanh (`gelu_new`).",
        ),
        SHARED,
    ],
    later: &[],
};

static RELU: Section = Section {
    name: "relu",
    doc: "Two matrices with a ReLU between them.",
    fields: &[width("4 * hidden"), BIAS, SHARED],
    later: &[],
};

static SWIGLU: Section = Section {
    name: "swiglu",
    doc: "Three matrices: SiLU of one product times another, then the third.",
    fields: &[width(GATED_WIDTH), BIAS, SHARED],
    later: &[],
};

static GEGLU: Section = Section {
    name: "geglu",
    doc: "Three matrices: GELU of one product times another, then the third.",
    fields: &[width(GATED_WIDTH), BIAS, SHARED],
    later: &[],
};

/// A mixture of experts.
pub static MOE: Section = Section {
    name: "moe",
    doc: "A router that sends each token to a few of many experts.",
    fields: &[
        Field::new(
            "experts",
            Type::Count(1),
            Need::Required,
            "How many experts there are.",
        ),
        Field::new(
            "active",
            Type::Count(1),
            Need::Required,
            "How many a token is sent to. What several give is weighted by the softmax over their logits alone, what one gives by its softmax over all.",
        ),
        Field::new(
            "expert",
            Type::Variant(EXPERTS),
            Need::Default("swiglu"),
            "What an expert is.",
        ),
        Field::new(
            "always",
            Type::Count(0),
            Need::Default("0"),
            "Experts that see every token, besides those that are routed to.",
        ),
        Field::new(
            "capacity",
            Type::Number(Dimension::NONE),
            Need::Default("dropless"),
            "Tokens an expert takes, over the even share; `dropless` for all.",
        )
        .or_word("dropless"),
        Field::new(
            "balance_loss",
            Type::Plain,
            Need::Default("0.01"),
            "Weight of the loss that evens out the experts' load within each sequence: what an even load adds to the loss, for each layer.",
        ),
        Field::new(
            "router_z_loss",
            Type::Plain,
            Need::Default("0"),
            "Weight of the loss that keeps the router's logits small: times the mean square of their log-sum-exp, for each layer.",
        ),
        SHARED,
    ],
    later: &[],
};
