//! Fields of the placement.

use super::{Field, Need, Section, Type};

/// What is said, left open and wished of the placement.
pub static PLAN: Section = Section {
    name: "plan",
    doc: "Parallelism, memory and the wish; whatever is not pinned is the planner's.",
    fields: &[
        Field::open("tp", Type::Count(1), "Tensor-parallel ranks."),
        Field::open("pp", Type::Count(1), "Pipeline stages."),
        Field::open("dp", Type::Count(1), "Replicas."),
        Field::open(
            "zero",
            Type::Count(0),
            "ZeRO stage: what is sharded over the replicas.",
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
        Field::open(
            "sequence_parallel",
            Type::Truth,
            "Whether the residual stream is sharded over the sequence.",
        ),
        Field::new(
            "engine",
            Type::Words(&["pleach", "neox"]),
            Need::Default("pleach"),
            "Whose lowering is planned.",
        ),
    ],
    later: &[
        "cp",
        "ep",
        "vpp",
        "stages",
        "offload",
        "schedule",
        "gpus",
        "megatron",
        "fsdp",
        "nanotron",
        "deepspeed",
        "torchtitan",
    ],
};
