//! Fields of the placement.

use super::{Field, Need, Section, Type};
use crate::quantity::Dimension;

/// Pipeline schedules.
const SCHEDULES: &[&str] = &["1f1b", "interleaved", "gpipe", "zero_bubble"];

/// What is said, left open and wished of the placement.
pub static PLAN: Section = Section {
    name: "plan",
    doc: "Parallelism, memory and the wish; whatever is not pinned is the planner's.",
    fields: &[
        Field::open("tp", Type::Count(1), "Tensor-parallel ranks."),
        Field::open("pp", Type::Count(1), "Pipeline stages."),
        Field::open("dp", Type::Count(1), "Replicas."),
        Field::open(
            "cp",
            Type::Count(1),
            "Context-parallel ranks, which share a sequence.",
        ),
        Field::open(
            "ep",
            Type::Count(1),
            "Expert-parallel ranks: over how many of the data- and context-parallel ranks the experts are spread.",
        ),
        Field::open(
            "vpp",
            Type::Count(1),
            "Virtual stages of a rank, which the pipeline passes in turn.",
        ),
        Field::open(
            "stages",
            Type::Stages,
            "How layers are cut into stages: `even`, `uneven` (by work), or a list of counts; by default as the engine does it.",
        ),
        Field::open(
            "schedule",
            Type::Words(SCHEDULES),
            "The order of forward and backward in the pipeline.",
        ),
        Field::open(
            "zero",
            Type::Count(0),
            "ZeRO stage: what is sharded over the replicas.",
        ),
        Field::open(
            "shards",
            Type::Count(1),
            "Replicas among which ZeRO divides: all of them, or fewer neighbours, so that each block of so many holds everything (hybrid sharding).",
        ),
        Field::open(
            "micro_batch",
            Type::MicroBatch,
            "Sequences a rank works on at once.",
        ),
        Field::open(
            "recompute",
            Type::Words(&["none", "selective", "full"]),
            "What the backward pass computes again instead of keeping.",
        ),
        Field::new(
            "recompute_budget",
            Type::Whole(Dimension::BYTES),
            Need::Default("none"),
            "How much a rank may keep where recomputation is selective; `none` for the usual choice of operations.",
        )
        .or_none(),
        Field::open(
            "sequence_parallel",
            Type::Truth,
            "Whether the residual stream is sharded over the sequence.",
        ),
        Field::open(
            "offload",
            Type::Words(&["none", "optimizer", "parameters", "activations"]),
            "What is kept in the host's memory.",
        ),
        Field::new(
            "gpus",
            Type::Count(1),
            Need::Default("cluster.gpus"),
            "How many of the cluster's GPUs are used; fewer than all leaves the rest idle.",
        ),
        Field::new(
            "engine",
            Type::Words(&[
                "pleach",
                "neox",
                "megatron",
                "deepspeed",
                "torchtitan",
                "fsdp",
                "fsdp_compiled",
                "megatron_core",
                "nanotron",
            ]),
            Need::Default("pleach"),
            "Whose lowering is planned.",
        ),
    ],
    later: &[],
};
