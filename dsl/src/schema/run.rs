//! Fields of what a run does beside training: saving, logging, evaluating. None of them changes what is trained.

use super::{DATASET, Field, Need, Section, Type};
use crate::quantity::Dimension;
use crate::syntax::Kind;

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
            "also",
            Type::StepList,
            Need::Default("[]"),
            "After these steps too, 0 for the initial weights; those that the run does not reach are left out.",
        ),
        Field::new(
            "doubling_to",
            Type::Whole(Dimension::STEPS),
            Need::Default("none"),
            "After 1, 2, 4, 8 … steps too, up to this one, or `none`.",
        )
        .or_none(),
        Field::new(
            "keep",
            Type::Count(1),
            Need::Default("3"),
            "How many of the newest stay on disk, or `all`; those that `also` and `doubling_to` ask for stay beside them.",
        )
        .or_word("all"),
        Field::new(
            "optimizer",
            Type::Truth,
            Need::Default("true"),
            "Whether the optimizer's state is saved; a run cannot be resumed without. Where the run is asked to stop it is saved all the same.",
        ),
        Field::new(
            "background",
            Type::Truth,
            Need::Default("false"),
            "Whether training goes on while a checkpoint is written.",
        ),
    ],
    later: &[],
};

/// Figures that can be logged.
const FIGURES: &[&str] = &[
    "loss",
    "lr",
    "grad_norm",
    "param_norm",
    "loss_scale",
    "throughput",
    "utilization",
    "memory",
];

/// What a run says of itself.
pub static LOG: Section = Section {
    name: "log",
    doc: "What the run writes of its steps, how often, and for whom.",
    fields: &[
        Field::new(
            "every",
            Type::Whole(Dimension::STEPS),
            Need::Default("1 steps"),
            "Every so many steps.",
        ),
        Field::new(
            "what",
            Type::WordList(FIGURES),
            Need::Default("[loss, lr, grad_norm, throughput, memory]"),
            "The figures.",
        ),
        Field::new(
            "to",
            Type::WordList(&["jsonl", "tensorboard", "wandb"]),
            Need::Default("[jsonl]"),
            "Where they go: a file of lines in the run's folder, or another program's form.",
        ),
    ],
    later: &[],
};

/// When a run is measured on text it does not train on.
pub static EVALUATE: Section = Section {
    name: "evaluate",
    doc: "How the loss is measured on text that is not trained on: the cross entropy alone, without what `train.loss` adds to it.",
    fields: &[
        Field::new(
            "every",
            Type::Whole(Dimension::STEPS),
            Need::Default("none"),
            "Every so many steps, or `none`.",
        )
        .or_none(),
        Field::new(
            "at_end",
            Type::Truth,
            Need::Default("every != none"),
            "Whether the finished model is measured too.",
        ),
        Field::new(
            "batches",
            Type::Count(1),
            Need::Default("100"),
            "Global batches each time, at most one pass.",
        ),
        Field::new(
            "split",
            Type::Words(&["validation", "test"]),
            Need::Default("validation"),
            "Which part of the data.",
        ),
        Field::new(
            "data",
            Type::Declared(Kind::Dataset, &DATASET),
            Need::Optional,
            "Another dataset; all of it is used.",
        ),
    ],
    later: &[],
};
