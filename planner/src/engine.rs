//! Engines: how different training systems lower the same program.
//!
//! A plan names its engine; here is what that means for time and memory. Each choice is a documented fact about how the engine
//! works (a setting's default, a kernel that it has or lacks). Nothing is fitted to a published run. PyTorch's own are in [`fsdp`].

pub mod fsdp;

/// How attention is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionKernel {
    /// One kernel that never stores the scores (FlashAttention-2, whose rate the tables hold).
    Flash,
    /// FlashAttention written in Triton: the second is 1.3 to 2.5 times as fast (arXiv 2307.08691, section 4.1), 1.8 in the geometric mean.
    TritonFlash,
    /// The first FlashAttention, whose work is cut over fewer threads: half the rate of the second (arXiv 2307.08691, section 4.1).
    FirstFlash,
    /// Batched products with the scores stored in 16 bits between them, softmax as one fused kernel.
    StoredScores,
    /// The same by plain operators: scaling, masking and softmax each read and write the scores.
    Unfused,
}

impl AttentionKernel {
    /// Whether scores are written to memory.
    pub fn stores_scores(self) -> bool {
        matches!(
            self,
            AttentionKernel::StoredScores | AttentionKernel::Unfused
        )
    }
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
    /// By counting a list of modules: some before the layers, the layers, some behind them. What does not divide goes to the first stages.
    Counted {
        /// Modules that count and come before the layers, on the first stage.
        before: u32,
        /// Modules that count and come behind the layers, on the last stage.
        after: u32,
    },
}

/// Where an engine keeps gradients in 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Narrow {
    /// Nowhere.
    Never,
    /// Where products are in `f16`; with `bf16` they are summed in 32 bits.
    F16,
    /// With either type.
    Always,
}

/// What an engine computes again under selective recomputation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selective {
    /// Scores and probabilities of attention, which are never kept then (arXiv 2205.05198).
    AttentionCore,
    /// What norms and nonlinearities give.
    CheapOperations,
    /// The same and every second product.
    AlternateProducts,
}

/// How an engine makes the loss and its gradient of logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossKernel {
    /// Kernels that read logits as they are and compute in registers.
    Fused,
    /// Megatron's operators: copied to 32 bits, less their maximum in a tensor of its own, which becomes the probabilities and then the
    /// gradient in place.
    InPlace,
    /// PyTorch's: a copy in 32 bits, its logarithms of probabilities, and gradients of both in 32 bits.
    Operators,
}

impl LossKernel {
    /// Bytes that forward and backward read and write for each logit where operators of their own make them: copy, maximum, difference,
    /// exponential, sum and quotient, then product and copy back; or copy and logarithm, then two gradients and a copy back.
    pub fn passes(self) -> Option<[f64; 2]> {
        match self {
            LossKernel::Fused => None,
            LossKernel::InPlace => Some([38.0, 14.0]),
            LossKernel::Operators => Some([14.0, 26.0]),
        }
    }
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
    /// Whether interleaved stages send and receive beside their computation all the same.
    pub overlapped_chunks: bool,
    /// Whether tensor-parallel ranks each send their part between stages, and gather it on arrival.
    pub scattered_transfers: bool,
    /// Whether weight gradients are added into the accumulator by the product itself, or by a kernel of its own.
    pub fused_weight_gradient: bool,
    /// Where gradients are kept in 16 bits.
    pub narrow_gradients: Narrow,
    /// Whether gradients that are kept in 16 bits are summed over replicas in 32.
    pub wide_reduction: bool,
    /// Whether gradients of ZeRO 1 are summed whole on every replica, and what is not its own is then thrown away.
    pub whole_reduction: bool,
    /// Whether, with sums in 32 bits, the gradients of a micro-batch stay beside them in 16 bits until all are added.
    pub both_gradients: bool,
    /// Whether the optimizer copies 16-bit gradients of what it updates to 32 bits.
    pub copied_gradients: bool,
    /// Whether what sequence parallelism gathered is thrown away after forward and gathered again for backward.
    pub gathers_again: bool,
    /// Whether adding a bias is part of the kernel behind it.
    pub fused_bias: bool,
    /// Passes over its operands that a norm takes, over those of one fused kernel.
    pub norm_passes: f64,
    /// Passes over its operands that a gated nonlinearity takes, over those of one fused kernel.
    pub gate_passes: f64,
    /// Whether reducing a gradient over tensor-parallel ranks runs beside the product for the same layer's weights.
    pub overlapped_reduction: bool,
    /// What issuing an operation takes of the host, over an operation of PyTorch with its derivative.
    pub dispatch: f64,
    /// Bytes that splitting heads and rotating them moves, over those of one fused kernel.
    pub rotary_passes: f64,
    /// Whether sums of more than two tensors take one kernel for each pair.
    pub pairwise_sums: bool,
    /// How the loss is made of logits.
    pub loss: LossKernel,
    /// Whether every tensor-parallel rank gathers all logits and makes the loss of them; else each makes its part of it.
    pub gathers_logits: bool,
    /// Bytes that metrics of each micro-batch's loss read and write for each logit.
    pub metric_bytes: f64,
    /// How layers are cut into stages.
    pub partition: Partition,
    /// Whether stages can hold several chunks of layers each (interleaved 1F1B).
    pub interleaves: bool,
    /// The highest ZeRO stage it has (beside a pipeline, for engines of which published runs use one).
    pub zero: u32,
    /// Whether ZeRO can divide among fewer replicas than all (hybrid sharding).
    pub hybrid: bool,
    /// Whether the residual stream can be cut along the sequence.
    pub sequence_parallel: bool,
    /// Layers whose weights are gathered while an earlier one computes, where ZeRO 3 divides them; gradients are scattered beside the
    /// computation then too. None where a layer waits for its own.
    pub prefetched_gathers: u32,
    /// Whether sums of gradients once a step begin while the last micro-batch's backward still runs, and new weights are gathered
    /// while the first one's forward does.
    pub overlapped_replicas: bool,
    /// Whether gathered weights are copied from where they arrive to where they are read, and gradients to where they are sent from.
    pub copied_gathers: bool,
    /// Bytes that an update moves, over those of one fused kernel.
    pub optimizer_passes: f64,
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
    overlapped_chunks: false,
    scattered_transfers: false,
    fused_weight_gradient: true,
    narrow_gradients: Narrow::Never,
    wide_reduction: false,
    whole_reduction: false,
    both_gradients: false,
    copied_gradients: false,
    gathers_again: false,
    fused_bias: false,
    norm_passes: 1.0,
    gate_passes: 1.0,
    overlapped_reduction: false,
    dispatch: 0.5,
    rotary_passes: 1.0,
    pairwise_sums: false,
    loss: LossKernel::Fused,
    gathers_logits: false,
    metric_bytes: 0.0,
    partition: Partition::Work,
    interleaves: true,
    zero: 3,
    hybrid: true,
    sequence_parallel: true,
    prefetched_gathers: 0,
    overlapped_replicas: false,
    copied_gathers: false,
    optimizer_passes: 1.0,
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
    overlapped_chunks: false,
    scattered_transfers: true,
    fused_weight_gradient: false,
    narrow_gradients: Narrow::F16,
    wide_reduction: false,
    whole_reduction: false,
    both_gradients: false,
    copied_gradients: true,
    gathers_again: false,
    fused_bias: false,
    norm_passes: 1.0,
    gate_passes: 1.0,
    overlapped_reduction: false,
    dispatch: 1.0,
    rotary_passes: 2.4,
    pairwise_sums: true,
    loss: LossKernel::InPlace,
    gathers_logits: false,
    metric_bytes: 0.0,
    partition: Partition::NamedModules,
    interleaves: false,
    zero: 1,
    hybrid: false,
    sequence_parallel: false,
    prefetched_gathers: 0,
    overlapped_replicas: false,
    copied_gathers: false,
    optimizer_passes: 1.0,
    gradient_bucket: Some(500_000_000),
    allocator_slack: 0.10,
    facts: &[
        "batched products around a fused causal softmax, scores stored in 16 bits (scaled_upper_triang_masked_softmax_fusion)",
        "stages by module names (pipe_partition_method type:transformer|mlp, which counts two helper functions as layers)",
        "no sequence parallelism (it came to GPT-NeoX after GPT-NeoX-20B)",
        "rotary positions by separate kernels and a copy (rope_fusion: false); no dropout (NeoX's default)",
        "a checkpointed layer runs its whole forward again (torch's checkpoint)",
        "logits copied to 32 bits for the loss, their exponentials kept for its backward (fp16_lm_cross_entropy: false)",
        "stages send and receive in line with their computation, a part of a tensor from each rank (DeepSpeed's PipelineEngine)",
        "the optimizer copies 16-bit gradients of its slice to 32 bits (DeepSpeed's stage_1_and_2.py)",
        "weight gradients added by a kernel of their own, in 16 bits; reduced through 500M elements (DeepSpeed's default bucket)",
        "the allocator holds 10 % beyond live tensors (torch's caching allocator; 2 to 10 GB are reported on 80 GB)",
    ],
};

/// Megatron-LM of 2021 and 2022, in which most published runs of dense GPTs were made. Planned only for comparison with them.
pub const MEGATRON: Engine = Engine {
    name: "megatron",
    dropout: true,
    fused_bias: true,
    rotary_passes: 1.0,
    pairwise_sums: false,
    partition: Partition::Even,
    interleaves: true,
    gradient_bucket: None,
    facts: &[
        "batched products around a fused causal softmax, scores stored in 16 bits; dropout on scores and residual branches",
        "a checkpointed layer runs its whole forward again; logits copied to 32 bits for the loss",
        "biases are added by the kernel behind them (bias_gelu_fusion, bias_dropout_fusion)",
        "tensor-parallel ranks send a part each between stages (scatter/gather, arXiv 2104.04473)",
        "stages of equally many layers; interleaved ones exchange once for each forward and backward (arXiv 2104.04473)",
        "weight gradients added by a kernel of their own, in 16 bits",
    ],
    ..NEOX
};

/// Megatron-LM of 2022, with which sequence parallelism came.
pub const MEGATRON_2022: Engine = Engine {
    name: "megatron_2022",
    sequence_parallel: true,
    fused_weight_gradient: true,
    narrow_gradients: Narrow::Never,
    overlapped_reduction: true,
    gathers_again: true,
    facts: &[
        "of what sequence parallelism gathers only the own part is kept, and gathered again for backward (arXiv 2205.05198, section 4.2.2)",
        "weight gradients added in 32 bits by the product itself (gradient accumulation fusion, in Megatron-LM since February 2022; it needs gradients in 32 bits)",
        "as megatron; gradients are reduced over tensor-parallel ranks beside the product for the weights (arXiv 2205.05198, section 4.2.2)",
    ],
    ..MEGATRON
};

/// Megatron-DeepSpeed of BigScience with DeepSpeed's pipeline engine, in which BLOOM was trained.
pub const MEGATRON_DEEPSPEED: Engine = Engine {
    name: "megatron_deepspeed",
    gradient_bucket: Some(500_000_000),
    both_gradients: true,
    facts: &[
        "batched products around a fused causal softmax, scores stored in 16 bits; dropout on scores and residual branches",
        "with bf16, gradients of a micro-batch are added to the sums in 32 bits after its whole backward (DeepSpeed's bf16_optimizer.py of 2022)",
        "a checkpointed layer runs its whole forward again; logits copied to 32 bits for the loss",
        "as many layers on each stage (pipe_partition_method type:transformer), a part of a tensor from each rank (PipelineEngine's is_pipe_partitioned)",
        "weight gradients added by a kernel of their own, in 16 bits with fp16 and in 32 with bf16; reduced through 500M elements",
    ],
    ..MEGATRON
};

/// The same once embeddings counted as layers: BLOOM's own run and the trials before it.
pub const MEGATRON_DEEPSPEED_EMBEDDING: Engine = Engine {
    name: "megatron_deepspeed_embedding",
    partition: Partition::Counted {
        before: 1,
        after: 1,
    },
    facts: &[
        "as megatron_deepspeed; embeddings count as layers (pipe_partition_method type:transformer|embedding)",
    ],
    ..MEGATRON_DEEPSPEED
};

/// Stacks of 2023 in Megatron's layout around FlashAttention, planned for comparison with their published grids.
pub const MEGATRON_FLASH: Engine = Engine {
    name: "megatron_flash",
    attention: AttentionKernel::Flash,
    selective: Selective::CheapOperations,
    dropout: false,
    narrow_gradients: Narrow::Never,
    sequence_parallel: true,
    facts: &[
        "FlashAttention-2 and a fused RMSNorm; no dropout (LLaMA's recipe)",
        "a checkpointed layer runs its whole forward again; logits copied to 32 bits for the loss",
        "weight gradients added in 32 bits by a kernel of their own; stages by layers, 1F1B, a part each between stages",
    ],
    ..MEGATRON
};

/// Aleph Alpha's stack (github.com/Aleph-Alpha/scaling) with FlashAttention-2 and a fused RMSNorm.
pub const SCALING: Engine = Engine {
    name: "scaling",
    scattered_transfers: false,
    rotary_passes: PLAIN_ROTARY,
    gate_passes: PLAIN_GATE,
    narrow_gradients: Narrow::Always,
    interleaves: false,
    wide_reduction: true,
    whole_reduction: true,
    partition: Partition::Counted {
        before: 1,
        after: 2,
    },
    gradient_bucket: Some(500_000_000),
    loss: LossKernel::Operators,
    gathers_logits: true,
    facts: &[
        "FlashAttention-2 and a fused RMSNorm; no dropout (LLaMA's recipe)",
        "the head's product is gathered over tensor-parallel ranks (lm_head.py: a ColumnParallelLinear without parallel_output), and each makes the whole loss by torch's cross_entropy in 32 bits (losses/cross_entropy.py); the logits stay in the last stage's buffer until the next ones (parallel_module.py)",
        "rotary positions and gates by plain operators; tensor-parallel sums wait in line (linear/utils.py)",
        "stages cut a list of embedding, layers, norm and head evenly, the first ones taking the rest (pipe_partition_uniform)",
        "stages send and receive in line with their computation, each rank all of a tensor (PipeCommunicator)",
        "gradients kept in 16 bits, summed over replicas in 32 through 500M elements, whole also under ZeRO 1 (allreduce.py, parameter_group.py)",
        "a checkpointed layer runs its whole forward again",
    ],
    ..MEGATRON_FLASH
};

/// RMSNorm by plain operators in 32 bits, as LLaMA's own: counted by reads and writes 38 bytes an element forward (a copy, a square, a mean, a product, a
/// copy back, the weight) and some 90 backward, where one fused kernel takes 10.
const PLAIN_NORM: f64 = 13.0;

/// Rotating queries and keys by plain operators: halves are turned and joined, two products and a sum for each, beside splitting the heads.
const PLAIN_ROTARY: f64 = 4.0;

/// A gate by plain operators: the nonlinearity is written and read again.
const PLAIN_GATE: f64 = 5.0 / 3.0;

/// Aleph Alpha's stack before it had a kernel for RMSNorm.
pub const SCALING_FLASH2: Engine = Engine {
    name: "scaling_flash2",
    norm_passes: PLAIN_NORM,
    facts: &["as scaling, with RMSNorm by plain operators"],
    ..SCALING
};

/// Aleph Alpha's stack with the first FlashAttention.
pub const SCALING_FLASH1: Engine = Engine {
    name: "scaling_flash1",
    attention: AttentionKernel::FirstFlash,
    facts: &["as scaling_flash2, with FlashAttention 1.0.8"],
    ..SCALING_FLASH2
};

/// Aleph Alpha's stack with Megatron's fused softmax.
pub const SCALING_FUSED: Engine = Engine {
    name: "scaling_fused",
    attention: AttentionKernel::StoredScores,
    selective: Selective::AttentionCore,
    facts: &["as scaling_flash2, with batched products around Megatron's fused softmax"],
    ..SCALING_FLASH2
};

/// Aleph Alpha's stack with attention by plain operators.
pub const SCALING_TORCH: Engine = Engine {
    name: "scaling_torch",
    attention: AttentionKernel::Unfused,
    facts: &["as scaling_fused, with scaling, masking and softmax as operators of their own"],
    ..SCALING_FUSED
};

/// nanotron, as Hugging Face measured it in 2024 and 2025.
pub const NANOTRON: Engine = Engine {
    name: "nanotron",
    scattered_transfers: false,
    blocking_transfers: true,
    partition: Partition::Work,
    interleaves: false,
    gate_passes: PLAIN_GATE,
    gathers_again: true,
    facts: &[
        "of what sequence parallelism gathers only the own part is kept (tp_recompute_allgather)",
        "FlashAttention-2, RMSNorm and rotary positions as fused kernels (nanotron's own LLaMA)",
        "gradients added in 32 bits by a kernel of their own (accumulate_grad_in_fp32)",
        "stages by the blocks' work (get_block_compute_costs), 1F1B, sending and receiving in line with computation, after shapes that the host reads (p2p.py)",
        "logits copied to 32 bits for the loss",
    ],
    ..MEGATRON_FLASH
};

/// Megatron-Core since 2023: Transformer Engine's kernels, and what can run beside the computation does.
pub const MEGATRON_CORE: Engine = Engine {
    name: "megatron_core",
    overlapped_chunks: true,
    scattered_transfers: false,
    fused_weight_gradient: true,
    overlapped_reduction: true,
    gathers_again: true,
    overlapped_replicas: true,
    hybrid: true,
    facts: &[
        "fused attention that never stores scores (Transformer Engine), fused norms, gates and rotary positions (bias_swiglu_fusion, apply_rope_fusion); no dropout",
        "weight gradients added in 32 bits by the product (gradient_accumulation_fusion)",
        "gradients reduced beside the last micro-batch's backward, new weights gathered beside the first one's forward (overlap_grad_reduce, overlap_param_gather)",
        "the optimizer's states can be divided among some of the replicas (num_distributed_optimizer_instances)",
        "interleaved stages send and receive beside their computation (overlap_p2p_comm), others in line with it",
        "of what sequence parallelism gathers only the own part is kept; gradients are reduced over tensor-parallel ranks beside the product for the weights",
        "a checkpointed layer runs its whole forward again; logits copied to 32 bits for the loss; stages of equally many layers",
    ],
    ..MEGATRON_FLASH
};

/// Megatron-LM of 2023 as it is without further options, of the layers one less on the first and last stage: what zero-bubble schedules
/// were compared with.
pub const MEGATRON_2023: Engine = Engine {
    name: "megatron_2023",
    attention: AttentionKernel::StoredScores,
    selective: Selective::AttentionCore,
    dropout: true,
    narrow_gradients: Narrow::F16,
    overlapped_replicas: false,
    partition: Partition::Counted {
        before: 1,
        after: 1,
    },
    facts: &[
        "as megatron_core, with batched products around a fused causal softmax (use-flash-attn is off), dropout on scores and residual branches",
        "with f16 gradients are added in 16 bits (Megatron's default); embeddings count as layers (arXiv 2401.10241, section 6.1)",
    ],
    ..MEGATRON_CORE
};

/// All of them.
const ENGINES: [&Engine; 20] = [
    &PLEACH,
    &NEOX,
    &MEGATRON,
    &MEGATRON_2022,
    &MEGATRON_DEEPSPEED,
    &MEGATRON_DEEPSPEED_EMBEDDING,
    &MEGATRON_FLASH,
    &SCALING,
    &SCALING_FLASH2,
    &SCALING_FLASH1,
    &SCALING_FUSED,
    &SCALING_TORCH,
    &NANOTRON,
    &MEGATRON_CORE,
    &MEGATRON_2023,
    &fsdp::FSDP,
    &fsdp::FSDP_COMPILED,
    &fsdp::COMPOSER,
    &fsdp::COMPOSER_TRITON,
    &fsdp::COMPOSER_PURE,
];

/// The names of all.
pub fn names() -> impl Iterator<Item = &'static str> {
    ENGINES.iter().map(|engine| engine.name)
}

/// The engine of that name.
pub fn find(name: &str) -> Option<&'static Engine> {
    ENGINES.into_iter().find(|engine| engine.name == name)
}
