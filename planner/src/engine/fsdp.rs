//! PyTorch's fully sharded data parallelism: profiles in, as [`super::find`] gives them, by what its users put around it.

use super::{
    AttentionKernel, Engine, LossKernel, Narrow, PLAIN_GATE, PLAIN_NORM, PLAIN_ROTARY, PLEACH,
    Partition, Selective,
};

/// PyTorch's fully sharded data parallelism, wrapped layer by layer, with a model of plain operators.
pub const FSDP: Engine = Engine {
    name: "fsdp",
    supported: "plan",
    selective: Selective::AlternateProducts,
    fused_weight_gradient: true,
    narrow_gradients: Narrow::Always,
    wide_reduction: true,
    norm_passes: PLAIN_NORM,
    rotary_passes: PLAIN_ROTARY,
    gate_passes: PLAIN_GATE,
    dispatch: 1.0,
    loss: LossKernel::Operators,
    partition: Partition::Even,
    prefetched_gathers: 1,
    overlapped_replicas: true,
    copied_gathers: true,
    allocator_slack: 0.10,
    facts: &[
        "one unit a layer; the next one's weights are gathered while one computes, forward and backward, and gradients scattered beside backward (arXiv 2304.11277, sections 3.3 and 4.2)",
        "weights gathered in 16 bits, gradients made in 16 and scattered in 32 (MixedPrecisionPolicy(bfloat16, float32)), sums kept in 32",
        "gathered weights are copied out of a flat buffer and gradients into one (FSDP2's foreach_all_gather_copy_out, foreach_reduce)",
        "RMSNorm, rotary positions and gates by plain operators; FlashAttention-2 by scaled_dot_product_attention; logits copied to 32 bits for the loss",
        "of a checkpointed layer as much runs again as backward reads (early stop, in torch since 2.1); selectively, every second product too (torchtitan's selective_ac_option op)",
        "one fused kernel updates; the allocator holds 10 % beyond live tensors (torch's caching allocator; 2 to 10 GB are reported on 80 GB)",
    ],
    ..PLEACH
};

/// The same with layers compiled by TorchInductor.
pub const FSDP_COMPILED: Engine = Engine {
    name: "fsdp_compiled",
    norm_passes: 1.0,
    rotary_passes: 1.0,
    gate_passes: 1.0,
    dispatch: 0.5,
    facts: &[
        "as fsdp; norms, rotary positions and gates as one kernel each, issued without PyTorch's derivative (torch.compile for each layer)",
    ],
    ..FSDP
};

/// Composer around the first FSDP, in which MPT models were trained and timed in 2023.
pub const COMPOSER: Engine = Engine {
    name: "fsdp_composer",
    copied_gathers: false,
    norm_passes: 1.0,
    loss: LossKernel::Fused,
    metric_bytes: 28.0,
    optimizer_passes: 80.0 / 28.0,
    facts: &[
        "one flat parameter a layer, of which weights are views; gathered one layer ahead (forward_prefetch, BACKWARD_PRE, limit_all_gathers)",
        "weights gathered in 16 bits, gradients made in 16 and scattered in 32 (Composer's mixed_precision DEFAULT since 0.14)",
        "FlashAttention-2, norms in 16 bits by one kernel (low_precision_layernorm), the loss in 16 bits and in place (xentropy-cuda-lib)",
        "two metrics of the loss in 32 bits for each micro-batch: each copies the logits and takes their softmax (use_train_metrics, Trainer._eval_train_metrics)",
        "an update of eight kernels that move 80 bytes for each weight (DecoupledAdamW), where one fused kernel moves 28",
    ],
    ..FSDP
};

/// The same with attention written in Triton, its default then.
pub const COMPOSER_TRITON: Engine = Engine {
    name: "fsdp_composer_triton",
    attention: AttentionKernel::TritonFlash,
    facts: &["as fsdp_composer, with attention in Triton (attn_impl: triton)"],
    ..COMPOSER
};

/// The same with gradients that are scattered in 16 bits, on PyTorch 1.13.
pub const COMPOSER_PURE: Engine = Engine {
    name: "fsdp_composer_pure",
    wide_reduction: false,
    reruns_forward: true,
    facts: &[
        "as fsdp_composer_triton, with gradients scattered in 16 bits (mixed_precision PURE)",
        "a checkpointed layer runs its whole forward again (torch before 2.1)",
    ],
    ..COMPOSER_TRITON
};
