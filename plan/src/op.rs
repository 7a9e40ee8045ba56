//! The instruction set: every operation a rank can be asked to do, with its operands and shapes.
//!
//! Each variant documents its signature as `(inputs; updates) -> outputs`. *Updates* are changed in place: accumulators
//! and state. Dimensions are local: `B` sequences of the micro-batch, `S` positions, `H` hidden, `A` attention heads on this
//! rank, `D` their width, `V` vocabulary rows on this rank. What an operation *means* is in `reference/ops`, what it costs and
//! how it may be sharded in the planner's `ops`, how libtorch computes it in the executor's `ops`: one file each, same name.

use serde::{Deserialize, Serialize};

use crate::{Axis, GroupId};

pub use crate::attributes::{
    Activation, Alibi, Charge, HeadNorm, Reduce, Route, RouterLoss, Scores, Split, Tokens, counts,
    plain,
};

/// One operation with its attributes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Op {
    /// `() -> ids[B, S]` (i64), or weights of targets in the type of sums. Sequence `b` is sample `step * global + before + b` of the data order,
    /// where `before` is [`crate::Training::samples_before`] this rank's micro-batch.
    Tokens {
        /// Inputs, targets, or the weights of these.
        which: Tokens,
    },
    /// `(ids[B, S], table[V, H]) -> y[B, S, H]`. With `vocab` set, this rank holds rows `r * V..(r + 1) * V` for its
    /// coordinate `r` on that axis, and ids of other ranks give zero rows (so `y` is partial over the axis).
    Embedding {
        /// The axis over which rows are sharded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vocab: Option<Axis>,
    },
    /// `(dy[B, S, H], ids[B, S]; dtable[V, H]) -> ()`: adds the gradient rows of the ids this rank holds.
    EmbeddingBackward {
        /// The axis over which rows are sharded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vocab: Option<Axis>,
    },
    /// `(x[B, S, H], table[R, H]) -> y[B, S, H]`: adds row `s` to position `s`. With `over` set, this rank holds positions
    /// `r * S..(r + 1) * S` for its coordinate `r` on that axis.
    Positions {
        /// The axis over which positions are sharded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        over: Option<Axis>,
    },
    /// `(dy[B, S, H]; dtable[R, H]) -> ()`: adds the sum over `B` to the rows of this rank's positions.
    PositionsBackward {
        /// The axis over which positions are sharded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        over: Option<Axis>,
    },
    /// `(x) -> y`: every entry times a number.
    Scale {
        /// The number.
        by: f64,
    },
    /// `(x[B, S, H]) -> y`: each entry zero or over `1 - share`, as [`crate::dropping`] draws it for the run's seed and step, the sample, the layer,
    /// the site, the position and the column. With `over` set, this rank holds positions `r * S..(r + 1) * S` for its coordinate `r` on that axis.
    Dropout {
        /// The share of entries that become zero.
        share: f64,
        /// Which of the layer's branches.
        site: u64,
        /// The axis over which positions are sharded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        over: Option<Axis>,
    },
    /// `(x) -> y`: `limit * tanh(x / limit)`, entry by entry.
    Cap {
        /// What entries stay below.
        limit: f64,
    },
    /// `(dy, y) -> dx`, from what [`Op::Cap`] made.
    CapBackward {
        /// What entries stay below.
        limit: f64,
    },
    /// `(x[B, S, H], weight[H], bias[H]) -> (y[B, S, H], mean[B, S], rstd[B, S])`, biased variance; or without a bias.
    LayerNorm {
        /// Added to the variance.
        eps: f64,
    },
    /// `(dy, x, weight, mean, rstd; dweight[H], dbias[H]) -> dx`, or without a bias.
    LayerNormBackward {},
    /// `(x[B, S, H], weight[H]) -> (y[B, S, H], rstd[B, S])`: rows over the root of their mean square.
    RmsNorm {
        /// Added to the mean square.
        eps: f64,
    },
    /// `(dy, x, weight, rstd; dweight[H]) -> dx`.
    RmsNormBackward {},
    /// `(x[B, S, K], weight[N, K]) -> y[B, S, N]`, or with a third input `bias[N]` added.
    Linear {},
    /// `(dy[B, S, N], weight[N, K]) -> dx[B, S, K]`.
    LinearBackwardInput {},
    /// `(dy[B, S, N], x[B, S, K]; dweight[N, K]) -> ()`: adds `dyᵀ x`.
    LinearBackwardWeight {},
    /// `(x[B, S, N], bias[N]) -> y[B, S, N]`.
    Bias {},
    /// `(dy[B, S, N]; dbias[N]) -> ()`: adds the sum over `B` and `S`.
    BiasBackward {},
    /// `(qkv[B, S, G * (group + 2) * D]) -> (q[B, A, S, D], k[B, G, S, D], v[B, G, S, D])` with `A = G * group`. The first `rotary`
    /// entries of each q and k row are rotated by their position, half against half (GPT-NeoX's convention).
    SplitHeads(Split),
    /// `(qkv[B, S, G * (group + 2) * D], q_weight[D], k_weight[D]) -> (y[B, S, …], rstd[B, S, G * (group + 1)])`: each head of
    /// queries and keys over the root of its mean square, times the weight; values pass.
    HeadNorm(HeadNorm),
    /// `(dy, qkv, q_weight, k_weight, rstd; dq_weight[D], dk_weight[D]) -> dqkv`.
    HeadNormBackward(HeadNorm),
    /// `(dq, dk, dv) -> dqkv`: the transpose of [`Op::SplitHeads`].
    SplitHeadsBackward(Split),
    /// `(q, k, v) -> (o[B, S, A * D], lse[B, A, S])`: causal softmax attention scaled by `1 / sqrt(D)`.
    Attention(Scores),
    /// `(do[B, S, A * D], q, k, v, o, lse) -> (dq, dk, dv)`.
    AttentionBackward(Scores),
    /// `(x) -> y`, exact (erf) GELU.
    Gelu {},
    /// `(dy, x) -> dx`.
    GeluBackward {},
    /// `(x) -> y`: a nonlinearity other than exact GELU, which is [`Op::Gelu`].
    Activation {
        /// Which one.
        kind: Activation,
    },
    /// `(dy, x) -> dx`.
    ActivationBackward {
        /// Which one.
        kind: Activation,
    },
    /// `(gate, up) -> y`: `f(gate) * up`, entry by entry.
    Gated {
        /// The nonlinearity of the gate.
        kind: Activation,
    },
    /// `(dy, gate, up) -> (dgate, dup)`.
    GatedBackward {
        /// The nonlinearity of the gate.
        kind: Activation,
    },
    /// `(logits[B, S, E]) -> (weights[B, S, J], choice[B, S, J])`: the `J` experts of largest logits for each token, their numbers (i64) in falling
    /// order, among equals the lowest first; and their softmax over all experts, over its sum where it is normalised.
    Route(Route),
    /// `(dweights[B, S, J], logits, choice) -> dlogits[B, S, E]`.
    RouteBackward(Route),
    /// `(logits[B, S, E], choice[B, S, J]; report) -> ()`: adds to `report[0]`, over `replicas`, for each sequence `scale * S * balance * E` times
    /// the sum over experts of their share of the choices times their mean softmax, and `scale * z` times the squared log-sum-exp of each token.
    RouterLoss {
        /// What is charged.
        #[serde(flatten)]
        loss: RouterLoss,
        /// Ranks that add this same loss.
        replicas: u64,
    },
    /// `(logits, choice) -> dlogits[B, S, E]`, the choices held fast.
    RouterLossBackward(RouterLoss),
    /// `(x[B, S, H], choice[B, S, J]) -> rows[B, S * J, H]`: a sequence's tokens once for each expert that they are sent to, sorted by expert, then by
    /// position.
    Dispatch {},
    /// `(drows[B, S * J, H], choice[B, S, J]) -> dx[B, S, H]`: the sum over a token's rows.
    DispatchBackward {},
    /// `(rows[B, S * J, K], weight[E, N, K], choice[B, S, J]) -> y[B, S * J, N]`: each row times its expert's matrix. How many rows an expert has is
    /// counted from the choices.
    ExpertLinear {},
    /// `(dy[B, S * J, N], weight[E, N, K], choice) -> drows[B, S * J, K]`.
    ExpertLinearBackwardInput {},
    /// `(dy[B, S * J, N], rows[B, S * J, K], choice; dweight[E, N, K]) -> ()`: adds each expert's `dyᵀ rows`.
    ExpertLinearBackwardWeight {},
    /// `(rows[B, S * J, H], weights[B, S, J], choice[B, S, J]) -> y[B, S, H]`: the weighted sum over a token's rows.
    Combine {},
    /// `(dy[B, S, H], rows, weights, choice) -> (drows[B, S * J, H], dweights[B, S, J])`.
    CombineBackward {},
    /// `(x[B, S, C], weight[C, W]) -> y[B, S, C]`: each channel's sum over its own last `W` positions, the weights' last entry at the position itself.
    Convolution {},
    /// `(dy, x, weight; dweight[C, W]) -> dx`.
    ConvolutionBackward {},
    /// `(x[B, S, K]) -> (a, b, c)`: its columns in three groups of these widths.
    Columns {
        /// Columns of each group.
        widths: [u64; 3],
    },
    /// `(da, db, dc) -> dx`.
    ColumnsBackward {
        /// Columns of each group.
        widths: [u64; 3],
    },
    /// `(x[B, S, C], step[B, S, C], decay[C, N], write[B, S, N], read[B, S, N], skip[C]) -> y[B, S, C]`: the selective scan of Mamba (arXiv:2312.00752).
    /// With `d = softplus(step)`, each channel's state is `h = exp(-d exp(decay)) h + d x write`, from zero, and `y = sum of read h over N + skip x`.
    Scan {},
    /// `(dy, x, step, decay, write, read, skip; ddecay[C, N], dskip[C]) -> (dx, dstep, dwrite, dread)`.
    ScanBackward {},
    /// `(a, b, …) -> y`: the sum of two or more tensors of one shape.
    Add {},
    /// `(logits[B, S, V]) -> max[B, S]`: the largest logit of this rank's rows.
    CrossEntropyMax {},
    /// `(logits[B, S, V], targets[B, S], max[B, S]) -> terms[2, B, S]`: `terms[0]` is the sum of `exp(logit - max)` over this
    /// rank's rows, `terms[1]` the target's `logit - max`, zero where another rank holds the target. Smoothed, there is a third:
    /// the sum of `logit - max` over this rank's rows.
    CrossEntropyTerms {
        /// The axis over which rows are sharded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vocab: Option<Axis>,
        /// Whether a part of the target is spread over all rows.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        smoothed: bool,
    },
    /// `(terms[, max[B, S]][, weights[B, S]]; report) -> ()`: adds to `report[0]`, over `replicas`, `scale` times the sum over tokens of
    /// `weights * (ln(terms[0]) - terms[1])`, with what else the charge says; without weights all of them are 1. `max` is read where the
    /// square of the log-sum-exp is charged.
    CrossEntropyLoss {
        /// What is charged.
        #[serde(flatten)]
        charge: Charge,
        /// Ranks that add this same loss.
        replicas: u64,
    },
    /// `(logits, targets, max, terms[, weights]) -> dlogits[B, S, V]`: the charge's gradient; plain, `scale * weights * (softmax - onehot)`.
    CrossEntropyBackward {
        /// What is charged.
        #[serde(flatten)]
        charge: Charge,
        /// The axis over which rows are sharded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vocab: Option<Axis>,
    },
    /// `(x) -> y`: this rank's piece of dimension `dim` along `axis`, as a tensor of its own.
    Slice {
        /// The axis whose coordinate chooses the piece.
        axis: Axis,
        /// The dimension that is cut.
        dim: usize,
    },
    /// `(src; dst) -> ()` or `(src) -> dst`: `dst = src` in the type of `dst`.
    Cast {},
    /// `(; x) -> ()` or `() -> x`: `x = 0`.
    Zero {},
    /// `(x; y) -> ()`: `y += x`.
    Accumulate {},
    /// `(x; report) -> ()`: adds `sum(x²) / replicas` to `report[1]`.
    SumSquares {
        /// Ranks that add this same sum.
        replicas: u64,
    },
    /// `(report; factor[1]) -> ()`: with `norm = sqrt(report[1])`, of scaled gradients over the step's loss scale,
    /// `factor = min(1, max_norm / (norm + 1e-6))`, or 1 without a limit, over the loss scale of scaled gradients; -1 where the report
    /// is not finite. Updates leave everything as it is where their factor is negative.
    ClipFactor {
        /// The largest gradient norm.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_norm: Option<f64>,
        /// Whether gradients are multiplied by the step's loss scale.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        scaled: bool,
    },
    /// `(factor[1]; weight, m, v, gradient) -> ()`: scales `gradient` by `factor` in place, then one AdamW update with the
    /// rate of this step and bias corrections of one more than the updates that were made.
    AdamW {
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// Added to the denominator.
        eps: f64,
        /// Decoupled weight decay.
        weight_decay: f64,
    },
    /// `(factor[1]; weight, m, v, gradient) -> ()`: as [`Op::AdamW`], but the moments see the scaled gradient with `weight_decay` times
    /// the weight added to it, and nothing else shrinks the weight.
    Adam {
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// Added to the denominator.
        eps: f64,
        /// What of the weight is added to its gradient.
        weight_decay: f64,
    },
    /// `(factor[1]; weight, m, gradient) -> ()`: scales `gradient` by `factor` in place, then shrinks the weight as [`Op::AdamW`] does, moves it by
    /// the rate against the sign of `beta1 * m + (1 - beta1) * gradient`, and makes `m = beta2 * m + (1 - beta2) * gradient`.
    Lion {
        /// Share of the momentum in what is followed.
        beta1: f64,
        /// Decay of the momentum.
        beta2: f64,
        /// Decoupled weight decay.
        weight_decay: f64,
    },
    /// `(factor[1]; weight, m, gradient) -> ()`: scales `gradient` by `factor` in place; with `g = gradient + weight_decay * weight` it makes
    /// `m = momentum * m + g`, and moves the weight by the rate against `m`, or with `nesterov` against `g + momentum * m`.
    Sgd {
        /// Share of the last update in the next.
        momentum: f64,
        /// Whether the gradient is taken where the momentum leads.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        nesterov: bool,
        /// What of the weight is added to its gradient.
        weight_decay: f64,
    },
    /// `(x) -> y`, or `(; x) -> ()` in place.
    AllReduce {
        /// Who takes part.
        group: GroupId,
        /// How values combine.
        reduce: Reduce,
    },
    /// `(x) -> y`, or `(x; y) -> ()` into an existing tensor: members' pieces joined along `dim`.
    AllGather {
        /// Who takes part.
        group: GroupId,
        /// The dimension that grows.
        dim: usize,
    },
    /// `(x) -> y`: the sum over members, of which each keeps its piece of `dim`.
    ReduceScatter {
        /// Who takes part.
        group: GroupId,
        /// The dimension that is cut.
        dim: usize,
    },
}

impl Op {
    /// The group of a collective; none for local operations.
    pub fn group(&self) -> Option<GroupId> {
        match *self {
            Op::AllReduce { group, .. }
            | Op::AllGather { group, .. }
            | Op::ReduceScatter { group, .. } => Some(group),
            _ => None,
        }
    }

    /// Whether it updates parameters: the gradient is then its last operand, the first moments come behind the weights.
    pub fn is_update(&self) -> bool {
        matches!(
            self,
            Op::AdamW { .. } | Op::Adam { .. } | Op::Lion { .. } | Op::Sgd { .. }
        )
    }

    /// The operation's name as it stands in JSON and text: `linear_backward_input`.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Tokens { .. } => "tokens",
            Op::Embedding { .. } => "embedding",
            Op::EmbeddingBackward { .. } => "embedding_backward",
            Op::Positions { .. } => "positions",
            Op::PositionsBackward { .. } => "positions_backward",
            Op::Scale { .. } => "scale",
            Op::Cap { .. } => "cap",
            Op::CapBackward { .. } => "cap_backward",
            Op::HeadNorm(_) => "head_norm",
            Op::HeadNormBackward(_) => "head_norm_backward",
            Op::LayerNorm { .. } => "layer_norm",
            Op::LayerNormBackward {} => "layer_norm_backward",
            Op::RmsNorm { .. } => "rms_norm",
            Op::RmsNormBackward {} => "rms_norm_backward",
            Op::Linear {} => "linear",
            Op::LinearBackwardInput {} => "linear_backward_input",
            Op::LinearBackwardWeight {} => "linear_backward_weight",
            Op::Bias {} => "bias",
            Op::BiasBackward {} => "bias_backward",
            Op::SplitHeads(_) => "split_heads",
            Op::SplitHeadsBackward(_) => "split_heads_backward",
            Op::Attention(_) => "attention",
            Op::AttentionBackward(_) => "attention_backward",
            Op::Gelu {} => "gelu",
            Op::GeluBackward {} => "gelu_backward",
            Op::Activation { .. } => "activation",
            Op::ActivationBackward { .. } => "activation_backward",
            Op::Gated { .. } => "gated",
            Op::GatedBackward { .. } => "gated_backward",
            Op::Add {} => "add",
            Op::CrossEntropyMax {} => "cross_entropy_max",
            Op::CrossEntropyTerms { .. } => "cross_entropy_terms",
            Op::CrossEntropyLoss { .. } => "cross_entropy_loss",
            Op::CrossEntropyBackward { .. } => "cross_entropy_backward",
            Op::Slice { .. } => "slice",
            Op::Cast {} => "cast",
            Op::Zero {} => "zero",
            Op::Accumulate {} => "accumulate",
            Op::SumSquares { .. } => "sum_squares",
            Op::ClipFactor { .. } => "clip_factor",
            Op::AdamW { .. } => "adam_w",
            Op::AllReduce { .. } => "all_reduce",
            Op::AllGather { .. } => "all_gather",
            Op::ReduceScatter { .. } => "reduce_scatter",
            op => op.name_beside_attention(),
        }
    }

    /// The names of what a mixture of experts and a state space consist of, and of updates other than AdamW.
    fn name_beside_attention(&self) -> &'static str {
        match self {
            Op::Adam { .. } => "adam",
            Op::Dropout { .. } => "dropout",
            Op::Lion { .. } => "lion",
            Op::Sgd { .. } => "sgd",
            Op::Route(_) => "route",
            Op::RouteBackward(_) => "route_backward",
            Op::RouterLoss { .. } => "router_loss",
            Op::RouterLossBackward(_) => "router_loss_backward",
            Op::Dispatch {} => "dispatch",
            Op::DispatchBackward {} => "dispatch_backward",
            Op::ExpertLinear {} => "expert_linear",
            Op::ExpertLinearBackwardInput {} => "expert_linear_backward_input",
            Op::ExpertLinearBackwardWeight {} => "expert_linear_backward_weight",
            Op::Combine {} => "combine",
            Op::CombineBackward {} => "combine_backward",
            Op::Convolution {} => "convolution",
            Op::ConvolutionBackward {} => "convolution_backward",
            Op::Columns { .. } => "columns",
            Op::ColumnsBackward { .. } => "columns_backward",
            Op::Scan {} => "scan",
            Op::ScanBackward {} => "scan_backward",
            op => unreachable!("{op:?} has its name above"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_usual_is_not_written() {
        let split = Split {
            head_dim: 64,
            rotary: 16,
            base: 1e4,
            scale: 1.0,
            group: 1,
        };
        let text = |op: &Op| serde_json::to_string(op).expect("operations are plain data");
        let plain = Op::SplitHeads(split);
        assert_eq!(
            text(&plain),
            r#"{"op":"split_heads","head_dim":64,"rotary":16,"base":10000.0}"#
        );
        assert_eq!(text(&Op::Attention(Scores::PLAIN)), r#"{"op":"attention"}"#);
        let grouped = Op::SplitHeads(Split {
            scale: 4.0,
            group: 8,
            ..split
        });
        let (heads, over) = (16, Some(Axis::Tp));
        let sloped = Op::Attention(Scores {
            group: 8,
            window: Some(7),
            alibi: Some(Alibi { heads, over }),
        });
        for op in [plain, grouped, sloped, Op::Attention(Scores::PLAIN)] {
            assert_eq!(serde_json::from_str::<Op>(&text(&op)).ok(), Some(op));
        }
    }
}
