//! In which order gradients are summed over the samples of a step.

use super::super::{Field, Need, Section, Type};

/// The orders.
pub const KINDS: &[&Section] = &[&FAST, &REPRODUCIBLE];

static FAST: Section = Section {
    name: "fast",
    doc: "As the placement has them: micro-batches in turn, then replicas. The same placement gives the same bits again on a CPU, another one other roundings.",
    fields: &[],
    later: &[],
};

static REPRODUCIBLE: Section = Section {
    name: "reproducible",
    doc: "In one order, so that replicas, stages and micro-batches may be cut otherwise and not a bit changes. Sequences are computed one by one, each rank on one thread, and sums of lanes take memory: slower. Tensor-parallel ranks still sum in their own order, and so does a matrix that embedding and head share on one stage or on two. On CPUs, up to ZeRO 1.",
    fields: &[Field::new(
        "lanes",
        Type::Count(1),
        Need::Default("8"),
        "The batch is cut into so many lanes, which are summed pairwise: a power of two, as many as the most replicas that are to give the same bits.",
    )],
    later: &[],
};
