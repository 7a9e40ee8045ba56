//! Engines: how different training systems lower the same program.
//!
//! A plan names its engine; here is what that means for time and memory. Each choice is a documented fact about how the engine
//! works (a setting's default, a kernel that it has or lacks). Nothing is fitted to a published run.

/// How attention is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionKernel {
    /// One kernel that never stores the scores.
    Flash,
    /// Batched products with the scores stored in 16 bits between them, softmax as one fused kernel.
    StoredScores,
}

/// How an engine cuts layers into pipeline stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partition {
    /// By work, the head's included.
    Work,
    /// Equally many layers each; by work where they do not divide.
    Even,
    /// By counting modules and functions whose name contains `transformer`: DeepSpeed's `type:transformer|mlp` over GPT-NeoX's list.
    NamedModules,
}

/// What an engine computes again under selective recomputation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selective {
    /// Scores and probabilities of attention, which are never kept then (arXiv 2205.05198).
    AttentionCore,
    /// What norms and nonlinearities give.
    CheapOperations,
}

/// One engine's choices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Engine {
    /// Its name in `plan { engine = … }`.
    pub name: &'static str,
    /// What a placement of this engine is good for here: `run`, `export` or `plan`.
    pub supported: &'static str,
    /// The attention kernel.
    pub attention: AttentionKernel,
    /// What it computes again where recomputation is selective.
    pub selective: Selective,
    /// Whether dropout runs on scores and residual branches.
    pub dropout: bool,
    /// Whether recomputing a layer runs its whole forward again, collectives included; else only what backward reads.
    pub reruns_forward: bool,
    /// Whether stages send and receive in line with their computation, each waiting for the other.
    pub blocking_transfers: bool,
    /// Whether tensor-parallel ranks each send their part between stages, and gather it on arrival.
    pub scattered_transfers: bool,
    /// Whether weight gradients are added into the accumulator by the product itself, or by a kernel of its own.
    pub fused_weight_gradient: bool,
    /// Whether gradients are kept and reduced in 16 bits where products are in `f16`.
    pub narrow_gradients: bool,
    /// Bytes that splitting heads and rotating them moves, over those of one fused kernel.
    pub rotary_passes: f64,
    /// Whether sums of more than two tensors take one kernel for each pair.
    pub pairwise_sums: bool,
    /// Whether logits and their gradients are copied to 32 bits for the loss.
    pub wide_logits: bool,
    /// How layers are cut into stages.
    pub partition: Partition,
    /// Whether stages can hold several chunks of layers each (interleaved 1F1B).
    pub interleaves: bool,
    /// Whether the residual stream can be cut along the sequence.
    pub sequence_parallel: bool,
    /// Elements of the flat buffer through which gradients are reduced; none where they are reduced in place.
    pub gradient_bucket: Option<u64>,
    /// What the allocator holds beyond what is allocated, as a part of it, on a GPU.
    pub allocator_slack: f64,
    /// The facts behind these choices, for readers.
    pub facts: &'static [&'static str],
}

/// This project's own executor.
pub const PLEACH: Engine = Engine {
    name: "pleach",
    supported: "run",
    attention: AttentionKernel::Flash,
    selective: Selective::CheapOperations,
    dropout: false,
    reruns_forward: false,
    blocking_transfers: false,
    scattered_transfers: false,
    fused_weight_gradient: true,
    narrow_gradients: false,
    rotary_passes: 1.0,
    pairwise_sums: false,
    wide_logits: false,
    partition: Partition::Work,
    interleaves: true,
    sequence_parallel: true,
    gradient_bucket: None,
    allocator_slack: 0.05,
    facts: &[
        "attention without stored scores, weight gradients accumulated by the product, transfers beside the computation",
        "on a GPU the allocator holds 5 % beyond live tensors (sizes repeat every micro-batch)",
    ],
};

/// GPT-NeoX on DeepSpeed with its pipeline engine, as it was when GPT-NeoX-20B was trained.
pub const NEOX: Engine = Engine {
    name: "neox",
    supported: "plan",
    attention: AttentionKernel::StoredScores,
    selective: Selective::AttentionCore,
    dropout: false,
    reruns_forward: true,
    blocking_transfers: true,
    scattered_transfers: false,
    fused_weight_gradient: false,
    narrow_gradients: true,
    rotary_passes: 2.4,
    pairwise_sums: true,
    wide_logits: true,
    partition: Partition::NamedModules,
    interleaves: false,
    sequence_parallel: false,
    gradient_bucket: Some(500_000_000),
    allocator_slack: 0.10,
    facts: &[
        "batched products around a fused causal softmax, scores stored in 16 bits (scaled_upper_triang_masked_softmax_fusion)",
        "stages by module names (pipe_partition_method type:transformer|mlp, which counts two helper functions as layers)",
        "no sequence parallelism (it came to GPT-NeoX after GPT-NeoX-20B)",
        "rotary positions by separate kernels and a copy (rope_fusion: false); no dropout (NeoX's default)",
        "a checkpointed layer runs its whole forward again (torch's checkpoint)",
        "logits copied to 32 bits for the loss, their exponentials kept for its backward (fp16_lm_cross_entropy: false)",
        "stages send and receive in line with their computation (DeepSpeed's PipelineEngine)",
        "weight gradients added by a kernel of their own, in 16 bits; reduced through 500M elements (DeepSpeed's default bucket)",
        "the allocator holds 10 % beyond live tensors (torch's caching allocator; 2 to 10 GB are reported on 80 GB)",
    ],
};

/// Megatron-LM of 2021 and 2022, in which most published runs of dense GPTs were made. Planned only for comparison with them.
pub const MEGATRON: Engine = Engine {
    name: "megatron",
    dropout: true,
    scattered_transfers: true,
    rotary_passes: 1.0,
    pairwise_sums: false,
    partition: Partition::Even,
    interleaves: true,
    gradient_bucket: None,
    facts: &[
        "batched products around a fused causal softmax, scores stored in 16 bits; dropout on scores and residual branches",
        "a checkpointed layer runs its whole forward again; logits copied to 32 bits for the loss",
        "tensor-parallel ranks send a part each between stages (scatter/gather, arXiv 2104.04473)",
        "stages of equally many layers; interleaved ones exchange once for each forward and backward (arXiv 2104.04473)",
        "weight gradients added by a kernel of their own, in 16 bits",
    ],
    ..NEOX
};

/// Stacks of 2023 in Megatron's layout around FlashAttention, planned for comparison with their published grids.
pub const MEGATRON_FLASH: Engine = Engine {
    name: "megatron_flash",
    attention: AttentionKernel::Flash,
    selective: Selective::CheapOperations,
    dropout: false,
    narrow_gradients: false,
    sequence_parallel: true,
    facts: &[
        "FlashAttention-2 and a fused RMSNorm; no dropout (LLaMA's recipe)",
        "a checkpointed layer runs its whole forward again; logits copied to 32 bits for the loss",
        "weight gradients added in 32 bits by a kernel of their own; stages by layers, 1F1B, a part each between stages",
    ],
    ..MEGATRON
};

/// nanotron, as Hugging Face measured it in 2024 and 2025.
pub const NANOTRON: Engine = Engine {
    name: "nanotron",
    scattered_transfers: false,
    blocking_transfers: true,
    partition: Partition::Work,
    interleaves: false,
    facts: &[
        "FlashAttention-2, RMSNorm and rotary positions as fused kernels (nanotron's own LLaMA)",
        "gradients added in 32 bits by a kernel of their own (accumulate_grad_in_fp32)",
        "stages by work (get_block_compute_costs), 1F1B, sending and receiving in line with computation; logits copied to 32 bits for the loss",
    ],
    ..MEGATRON_FLASH
};

/// The engine of that name.
pub fn find(name: &str) -> Option<&'static Engine> {
    [&PLEACH, &NEOX, &MEGATRON, &MEGATRON_FLASH, &NANOTRON]
        .into_iter()
        .find(|engine| engine.name == name)
}
