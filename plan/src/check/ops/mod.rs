//! The signature of every operation: one file for each family, as in `reference/ops`.

mod accumulate;
mod activation;
mod adam;
mod adam_w;
mod add;
mod attention;
mod bias;
mod cap;
mod cast;
mod collective;
mod columns;
mod combine;
mod convolution;
mod cross_entropy;
mod dispatch;
mod dropout;
mod embedding;
mod expert_linear;
mod gated;
mod head_norm;
mod layer_norm;
mod linear;
mod lion;
mod norm;
mod positions;
mod rms_norm;
mod route;
mod router_loss;
mod scale;
mod scan;
mod sgd;
mod slice;
mod split_heads;
mod tokens;
mod zero;

use crate::check::signature::{Misfit, Signature};
use crate::{Activation, Axis, Instr, Op, Plan, Scores};

/// What an instruction's operation wants, given how many operands it has (some take a variable number).
///
/// # Errors
/// An attribute that makes no sense. The mesh and the groups must have been checked before.
pub fn signature(plan: &Plan, instr: &Instr) -> Result<Signature, Misfit> {
    let (reads, updates) = (instr.ins.len(), instr.updates.len());
    match &instr.op {
        Op::Tokens { which } => Ok(tokens::tokens(plan, *which)),
        Op::Embedding { vocab } => inside(*vocab, embedding::forward()),
        Op::EmbeddingBackward { vocab } => inside(*vocab, embedding::backward()),
        Op::Positions { over } => inside(*over, positions::forward(plan, &instr.ins, *over)?),
        Op::PositionsBackward { over } => {
            let operands = [instr.ins.first(), instr.updates.first()].map(Option::<&_>::copied);
            inside(*over, positions::backward(plan, operands, *over)?)
        }
        Op::Scale { by } => scale::scale(*by),
        Op::Cap { limit } => cap::forward(*limit),
        Op::CapBackward { limit } => cap::backward(*limit),
        Op::HeadNorm(norm) => head_norm::forward(norm),
        Op::HeadNormBackward(norm) => head_norm::backward(norm),
        Op::LayerNorm { eps } => layer_norm::forward(*eps, reads),
        Op::LayerNormBackward {} => Ok(layer_norm::backward(updates)),
        Op::RmsNorm { eps } => rms_norm::forward(*eps),
        Op::RmsNormBackward {} => Ok(rms_norm::backward()),
        Op::Linear {} => Ok(linear::forward(reads)),
        Op::LinearBackwardInput {} => Ok(linear::backward_input()),
        Op::LinearBackwardWeight {} => Ok(linear::backward_weight()),
        Op::Bias {} => Ok(bias::forward()),
        Op::BiasBackward {} => Ok(bias::backward()),
        Op::SplitHeads(split) => split_heads::forward(split),
        Op::SplitHeadsBackward(split) => split_heads::backward(split),
        Op::Attention(scores) => inside(over(scores), attention::forward(plan, scores)?),
        Op::AttentionBackward(scores) => inside(over(scores), attention::backward(plan, scores)?),
        Op::Gelu {} => Ok(activation::forward()),
        Op::GeluBackward {} => Ok(activation::backward()),
        Op::Activation { kind } => named(*kind, activation::forward()),
        Op::ActivationBackward { kind } => named(*kind, activation::backward()),
        Op::Gated { .. } => Ok(gated::forward()),
        Op::GatedBackward { .. } => Ok(gated::backward()),
        Op::Add {} => Ok(add::add(reads)),
        Op::CrossEntropyMax {} => Ok(cross_entropy::max()),
        Op::CrossEntropyTerms { vocab, smoothed } => {
            inside(*vocab, cross_entropy::terms(*smoothed))
        }
        Op::CrossEntropyLoss { charge, replicas } => cross_entropy::loss(charge, *replicas, reads),
        Op::CrossEntropyBackward { charge, vocab } => {
            inside(*vocab, cross_entropy::backward(charge, reads)?)
        }
        Op::Slice { axis, dim } => inside(
            Some(*axis),
            slice::slice(u64::from(plan.mesh.pieces(*axis)), *dim),
        ),
        Op::Cast {} => Ok(cast::cast(updates)),
        Op::Zero {} => Ok(zero::zero(updates)),
        Op::Accumulate {} => Ok(accumulate::accumulate()),
        Op::SumSquares { replicas } => norm::sum_squares(*replicas),
        Op::ClipFactor { max_norm, .. } => norm::clip_factor(*max_norm),
        op if op.is_update() => update(op),
        op => mixed(plan, instr, op),
    }
}

/// The optimizer's update.
fn update(op: &Op) -> Result<Signature, Misfit> {
    match op {
        Op::AdamW {
            beta1,
            beta2,
            eps,
            weight_decay,
        } => adam_w::adam_w([*beta1, *beta2], *eps, *weight_decay),
        Op::Adam {
            beta1,
            beta2,
            eps,
            weight_decay,
        } => adam::adam([*beta1, *beta2], *eps, *weight_decay),
        Op::Lion {
            beta1,
            beta2,
            weight_decay,
        } => lion::lion([*beta1, *beta2], *weight_decay),
        Op::Sgd {
            momentum,
            weight_decay,
            ..
        } => sgd::sgd(*momentum, *weight_decay),
        op => unreachable!("{} is no update", op.name()),
    }
}

/// Dropout, the mixture of experts, the state space, and collectives.
fn mixed(plan: &Plan, instr: &Instr, op: &Op) -> Result<Signature, Misfit> {
    let updates = instr.updates.len();
    match op {
        Op::Dropout { share, over, .. } => inside(*over, dropout::dropout(*share)?),
        Op::Route(route) => route::forward(plan, instr, route),
        Op::RouteBackward(route) => route::backward(plan, instr, route),
        Op::RouterLoss { loss, replicas } => router_loss::forward(loss, *replicas),
        Op::RouterLossBackward(loss) => router_loss::backward(loss),
        Op::Dispatch {} => Ok(dispatch::forward()),
        Op::DispatchBackward {} => Ok(dispatch::backward()),
        Op::ExpertLinear {} => Ok(expert_linear::forward()),
        Op::ExpertLinearBackwardInput {} => Ok(expert_linear::backward_input()),
        Op::ExpertLinearBackwardWeight {} => Ok(expert_linear::backward_weight()),
        Op::Combine {} => Ok(combine::forward()),
        Op::CombineBackward {} => Ok(combine::backward()),
        Op::Convolution {} => Ok(convolution::forward()),
        Op::ConvolutionBackward {} => Ok(convolution::backward()),
        Op::Columns { widths } => columns::forward(*widths),
        Op::ColumnsBackward { widths } => columns::backward(*widths),
        Op::Scan {} => Ok(scan::forward()),
        Op::ScanBackward {} => Ok(scan::backward()),
        Op::AllReduce { .. } => Ok(collective::all_reduce(updates)),
        Op::AllGather { group, dim } => collective::all_gather(plan, *group, *dim, updates),
        Op::ReduceScatter { group, dim } => collective::reduce_scatter(plan, *group, *dim),
        op => unreachable!("{} has its signature above", op.name()),
    }
}

/// Refuses an axis that does not lie inside a stage.
fn inside(axis: Option<Axis>, signature: Signature) -> Result<Signature, Misfit> {
    let rule = "tensors are spread inside a stage: it must be dp or tp";
    law(axis != Some(Axis::Pp), "axis", "pp", rule)?;
    Ok(signature)
}

/// The axis over which an attention's heads are told apart.
fn over(scores: &Scores) -> Option<Axis> {
    scores.alibi.and_then(|alibi| alibi.over)
}

/// `letter * by` as a pattern.
fn times(letter: &str, by: u64) -> String {
    match by {
        1 => letter.to_owned(),
        by => format!("{letter}*{by}"),
    }
}

/// Refuses exact GELU, which has one way to be written.
fn named(kind: Activation, signature: Signature) -> Result<Signature, Misfit> {
    let rule = "exact GELU is the operation `gelu`";
    law(kind != Activation::Gelu, "kind", "gelu", rule)?;
    Ok(signature)
}

/// Refuses an attribute that breaks its law.
fn law(
    holds: bool,
    name: &'static str,
    value: impl ToString,
    law: &'static str,
) -> Result<(), Misfit> {
    match holds {
        true => Ok(()),
        false => Err(Misfit::Attribute {
            name,
            value: value.to_string(),
            law,
        }),
    }
}
