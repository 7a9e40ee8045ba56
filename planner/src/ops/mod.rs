//! What the planner knows of each operation: its derivative, how it may be sharded, and what its kernel takes beside.
//!
//! One file for each family, named as in `plan` and `executor`. Shapes are checked in `plan`, work and time stand in
//! [`crate::cost`]; a new operation is a file here and an arm in each table below.

pub mod activation;
pub mod add;
pub mod attention;
pub mod bias;
pub mod cap;
pub mod columns;
pub mod combine;
pub mod convolution;
pub mod cross_entropy;
pub mod dispatch;
pub mod dropout;
pub mod embedding;
pub mod expert_linear;
pub mod gated;
pub mod head_norm;
pub mod layer_norm;
pub mod linear;
pub mod positions;
pub mod rms_norm;
pub mod route;
pub mod router_loss;
pub mod scale;
pub mod scan;
pub mod split_heads;
pub mod tokens;
pub mod workspace;

use pleach_plan::Op;

use crate::differentiate::Tape;
use crate::graph::{Block, Node};
use crate::shard::strategy::Strategy;

/// Appends the derivative of a forward operation.
pub fn derivative(node: &Node, tape: &mut Tape) {
    match node.op {
        Op::Embedding { .. } => embedding::derivative(node, tape),
        Op::Positions { .. } => positions::derivative(node, tape),
        Op::Scale { .. } => scale::derivative(node, tape),
        Op::Dropout { .. } => dropout::derivative(node, tape),
        Op::Cap { .. } => cap::derivative(node, tape),
        Op::HeadNorm(_) => head_norm::derivative(node, tape),
        Op::LayerNorm { .. } => layer_norm::derivative(node, tape),
        Op::RmsNorm { .. } => rms_norm::derivative(node, tape),
        Op::Linear {} => linear::derivative(node, tape),
        Op::Bias {} => bias::derivative(node, tape),
        Op::SplitHeads(_) => split_heads::derivative(node, tape),
        Op::Attention(_) => attention::derivative(node, tape),
        Op::Gelu {} | Op::Activation { .. } => activation::derivative(node, tape),
        Op::Gated { .. } => gated::derivative(node, tape),
        Op::Add {} => add::derivative(node, tape),
        Op::Route(_) => route::derivative(node, tape),
        Op::RouterLoss { .. } => router_loss::derivative(node, tape),
        Op::Dispatch {} => dispatch::derivative(node, tape),
        Op::ExpertLinear {} => expert_linear::derivative(node, tape),
        Op::Combine {} => combine::derivative(node, tape),
        Op::Convolution {} => convolution::derivative(node, tape),
        Op::Columns { .. } => columns::derivative(node, tape),
        Op::Scan {} => scan::derivative(node, tape),
        Op::CrossEntropyLoss { .. } => cross_entropy::derivative(node, tape),
        _ => {}
    }
}

/// Whether an operation costs little beside the room its results take, so that selective recomputation makes them again.
pub fn is_cheap(op: &Op) -> bool {
    matches!(
        op,
        Op::Gelu {}
            | Op::Activation { .. }
            | Op::Gated { .. }
            | Op::Convolution {}
            | Op::Dispatch {}
            | Op::HeadNorm(_)
            | Op::LayerNorm { .. }
            | Op::RmsNorm { .. }
    )
}

/// The ways in which an operation can be computed on shards; the first is the replicated one.
pub fn strategies(node: &Node, block: &Block) -> Vec<Strategy> {
    match node.op {
        Op::Tokens { .. } => tokens::strategies(),
        Op::Embedding { .. } => embedding::strategies(),
        Op::EmbeddingBackward { .. } => embedding::backward_strategies(),
        Op::Positions { .. } => positions::strategies(),
        Op::PositionsBackward { .. } => positions::backward_strategies(),
        Op::Scale { .. } => scale::strategies(),
        Op::Dropout { .. } => dropout::strategies(),
        Op::Cap { .. } => cap::strategies(1),
        Op::CapBackward { .. } => cap::strategies(2),
        Op::HeadNorm(_) => head_norm::strategies(),
        Op::HeadNormBackward(_) => head_norm::backward_strategies(),
        Op::LayerNorm { .. } => layer_norm::strategies(node.ins.len() - 1),
        Op::LayerNormBackward {} => layer_norm::backward_strategies(node.updates.len()),
        Op::RmsNorm { .. } => rms_norm::strategies(),
        Op::RmsNormBackward {} => rms_norm::backward_strategies(),
        Op::Linear {} => linear::strategies(),
        Op::LinearBackwardInput {} => linear::backward_input_strategies(),
        Op::LinearBackwardWeight {} => linear::backward_weight_strategies(),
        Op::Bias {} => bias::strategies(),
        Op::BiasBackward {} => bias::backward_strategies(),
        Op::SplitHeads(_) => split_heads::strategies(),
        Op::SplitHeadsBackward(_) => split_heads::backward_strategies(),
        Op::Attention(_) => attention::strategies(),
        Op::AttentionBackward(_) => attention::backward_strategies(),
        Op::Gelu {} | Op::Activation { .. } => activation::strategies(1),
        Op::GeluBackward {} | Op::ActivationBackward { .. } => activation::strategies(2),
        Op::Gated { .. } => gated::strategies(2, 1),
        Op::GatedBackward { .. } => gated::strategies(3, 2),
        Op::Add {} => add::strategies(node, block),
        Op::Route(_) => route::strategies(),
        Op::RouteBackward(_) => route::backward_strategies(),
        Op::RouterLoss { .. } => router_loss::strategies(),
        Op::RouterLossBackward(_) => router_loss::backward_strategies(),
        Op::Dispatch {} => dispatch::strategies(),
        Op::DispatchBackward {} => dispatch::backward_strategies(),
        Op::ExpertLinear {} => expert_linear::strategies(),
        Op::ExpertLinearBackwardInput {} => expert_linear::backward_input_strategies(),
        Op::ExpertLinearBackwardWeight {} => expert_linear::backward_weight_strategies(),
        Op::Combine {} => combine::strategies(),
        Op::CombineBackward {} => combine::backward_strategies(),
        Op::Convolution {} => convolution::strategies(),
        Op::ConvolutionBackward {} => convolution::backward_strategies(),
        Op::Columns { .. } => columns::strategies(),
        Op::ColumnsBackward { .. } => columns::backward_strategies(),
        Op::Scan {} => scan::strategies(),
        Op::ScanBackward {} => scan::backward_strategies(),
        Op::CrossEntropyMax {} => cross_entropy::max_strategies(),
        Op::CrossEntropyTerms { .. } => cross_entropy::terms_strategies(),
        Op::CrossEntropyLoss { .. } => cross_entropy::loss_strategies(node.ins.len()),
        Op::CrossEntropyBackward { .. } => cross_entropy::backward_strategies(node.ins.len()),
        _ => Vec::new(),
    }
}
