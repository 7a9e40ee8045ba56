//! How libtorch computes each operation of the instruction set: one family, one file, same names as in the plan.
//!
//! In come an operation and its operands, out come its results, each in a storage of its own of exactly its size. On a
//! device some are computed otherwise ([`device`]). Nothing here looks at the plan: what an operation needs beside its operands stands in [`Context`].

pub mod accumulate;
pub mod activation;
pub mod adam;
pub mod adam_w;
pub mod add;
pub mod attention;
pub mod bias;
pub mod cap;
pub mod cast;
pub mod collective;
pub mod columns;
pub mod combine;
pub mod convolution;
pub mod cross_entropy;
pub mod device;
pub mod dispatch;
pub mod dropout;
pub mod embedding;
pub mod expert_linear;
pub mod gated;
pub mod head_norm;
pub mod layer_norm;
pub mod linear;
pub mod lion;
pub mod norm;
pub mod positions;
pub mod report;
pub mod rms_norm;
pub mod route;
pub mod router_loss;
pub mod scale;
pub mod scan;
pub mod sgd;
pub mod slice;
pub mod split_heads;
pub mod tokens;
pub mod zero;

use pleach_plan::{Activation, Axis, Charge, Mesh, Op, Rank, Scores};
use tch::{Device, Kind, Tensor};

use crate::collectives::Collectives;
use crate::data::Samples;
use crate::error::Cause;
use crate::kernels::fused;

/// What operations need beside their operands.
pub struct Context<'w> {
    /// The mesh.
    pub mesh: Mesh,
    /// This rank's place on it.
    pub place: Rank,
    /// Where this rank's tensors lie.
    pub device: Device,
    /// Where a micro-batch's samples come from.
    pub samples: &'w mut dyn Samples,
    /// The groups this rank belongs to.
    pub collectives: &'w mut dyn Collectives,
    /// Rotation tables made before the first step.
    pub tables: &'w split_heads::Tables,
    /// The batch that is worked on.
    pub batch: tokens::Batch,
    /// Constants of this step's update.
    pub update: adam_w::Step,
    /// Whether this is training: a loss that is only measured is the cross entropy alone, without what keeps training steady.
    pub trains: bool,
    /// What dropout draws from; none where nothing is dropped, as in inference and outside of the layers.
    pub draws: Option<dropout::Draws>,
}

/// The operands of one instruction.
#[derive(Clone, Copy, Debug)]
pub struct Operands<'t> {
    /// Operands that are read.
    pub ins: &'t [&'t Tensor],
    /// Operands that are read and written.
    pub updates: &'t [&'t Tensor],
    /// For each of `ins`: whether its storage ends here and may be written over.
    pub ends: &'t [bool],
}

impl Operands<'_> {
    fn ends(&self, index: usize) -> bool {
        self.ends.get(index).copied().unwrap_or(false)
    }
}

impl Context<'_> {
    /// This rank's coordinate on an axis that shards something; 0 where nothing is sharded.
    fn coordinate(&self, axis: Option<Axis>) -> i64 {
        axis.map_or(0, |axis| i64::from(self.place.on(axis)))
    }

    /// The first of this rank's heads, of as many as `queries` has on each.
    fn first_head(&self, scores: &Scores, queries: &Tensor) -> u64 {
        let over = scores.alibi.and_then(|alibi| alibi.over);
        let own = queries.size().get(1).copied().unwrap_or(0);
        self.first_row(over, own).unsigned_abs()
    }

    /// What tokens are charged with here.
    fn charge(&self, charge: &Charge) -> Charge {
        match self.trains {
            true => *charge,
            false => Charge::plain(charge.scale),
        }
    }

    /// The first of this rank's rows, of `rows` on each rank.
    fn first_row(&self, axis: Option<Axis>, rows: i64) -> i64 {
        self.coordinate(axis) * rows
    }
}

/// Runs one operation.
///
/// # Errors
/// The kernel's or the collective's own, or operands that the operation does not take.
pub fn run(
    op: &Op,
    operands: Operands<'_>,
    context: &mut Context<'_>,
) -> Result<Vec<Tensor>, Cause> {
    if context.device != Device::Cpu
        && let Some(made) = device::run(op, operands, context, fused())?
    {
        return Ok(made);
    }
    let ends = |index| operands.ends(index);
    Ok(match (op, operands.ins, operands.updates) {
        (Op::Tokens { which }, [], []) => one(tokens::run(*which, context)?),
        (Op::Embedding { vocab }, [ids, table], []) => one(embedding::forward(
            ids,
            table,
            context.first_row(*vocab, table.size()[0]),
        )?),
        (Op::EmbeddingBackward { vocab }, [dy, ids], [dtable]) => none(embedding::backward(
            dy,
            ids,
            dtable,
            context.first_row(*vocab, dtable.size()[0]),
        )?),
        (Op::Linear {}, [x, weight], []) => one(linear::forward(x, weight, None)?),
        (Op::Linear {}, [x, weight, bias], []) => one(linear::forward(x, weight, Some(bias))?),
        (Op::LinearBackwardInput {}, [dy, weight], []) => one(linear::backward_input(dy, weight)?),
        (Op::LinearBackwardWeight {}, [dy, x], [dweight]) => {
            none(linear::backward_weight(dy, x, dweight)?)
        }
        (Op::Bias {}, [x, bias], []) => one(bias::forward(x, bias, ends(0))?),
        (Op::BiasBackward {}, [dy], [dbias]) => none(bias::backward(dy, dbias)?),
        (Op::SplitHeads(split), [qkv], []) => {
            split_heads::forward(qkv, split, context.tables.get(split, qkv)?)?.into()
        }
        (Op::SplitHeadsBackward(split), [dq, dk, dv], []) => one(split_heads::backward(
            [dq, dk, dv],
            context.tables.get(split, dq)?,
        )?),
        (Op::Attention(scores), [q, k, v], []) => {
            let how = attention::How::new(scores, q, context.first_head(scores, q))?;
            attention::forward([q, k, v], &how)?.into()
        }
        (Op::AttentionBackward(scores), [dout, q, k, v, out, lse], []) => {
            let how = attention::How::new(scores, q, context.first_head(scores, q))?;
            attention::backward(dout, [q, k, v], out, lse, &how)?.into()
        }
        (Op::Add {}, [first, rest @ ..], []) if !rest.is_empty() => {
            one(add::run(first, rest, ends(0))?)
        }
        (Op::Slice { axis, dim }, [x], []) => one(slice::run(
            x,
            *dim,
            context.mesh.pieces(*axis),
            context.mesh.piece(context.place, *axis),
        )?),
        (Op::Cast {}, [source], [target]) => none(cast::run(source, target)?),
        (Op::Zero {}, [], [x]) => none(zero::run(x)?),
        (Op::Accumulate {}, [x], [y]) => none(accumulate::run(x, y)?),
        _ => return run_norm(op, operands, context),
    })
}

/// Norms, and what stands around the layers.
fn run_norm(
    op: &Op,
    operands: Operands<'_>,
    context: &mut Context<'_>,
) -> Result<Vec<Tensor>, Cause> {
    let ends = operands.ends(0);
    Ok(match (op, operands.ins, operands.updates) {
        (Op::LayerNorm { eps }, [x, weight, bias @ ..], []) if bias.len() < 2 => {
            layer_norm::forward(x, weight, bias.first().copied(), *eps)?.into()
        }
        (Op::LayerNormBackward {}, [dy, x, weight, mean, rstd], [dweight, dbias @ ..])
            if dbias.len() < 2 =>
        {
            let sums = (*dweight, dbias.first().copied());
            one(layer_norm::backward(dy, x, weight, [mean, rstd], sums)?)
        }
        (Op::RmsNorm { eps }, [x, weight], []) => rms_norm::forward(x, weight, *eps)?.into(),
        (Op::RmsNormBackward {}, [dy, x, weight, rstd], [dweight]) => {
            one(rms_norm::backward(dy, x, weight, rstd, dweight)?)
        }
        (Op::HeadNorm(norm), [x, queries, keys], []) => {
            head_norm::forward(x, [queries, keys], norm)?.into()
        }
        (Op::HeadNormBackward(norm), [dy, x, queries, keys, rstd], [to_queries, to_keys]) => {
            let (weights, sums) = ([*queries, *keys], [*to_queries, *to_keys]);
            one(head_norm::backward(dy, x, weights, rstd, sums, norm)?)
        }
        (Op::Positions { over }, [x, table], []) => {
            let first = context.first_row(*over, x.size()[1]);
            one(positions::forward(x, table, first, ends)?)
        }
        (Op::PositionsBackward { over }, [dy], [dtable]) => {
            let first = context.first_row(*over, dy.size()[1]);
            none(positions::backward(dy, dtable, first)?)
        }
        (Op::Scale { by }, [x], []) => one(scale::run(x, *by, ends)?),
        (Op::Dropout { share, site, over }, [x], []) => one(match &context.draws {
            Some(draws) => {
                let site = dropout::Site {
                    share: *share,
                    site: *site,
                    first: context.first_row(*over, x.size()[1]),
                };
                dropout::run(x, &site, draws, ends)?
            }
            None => scale::run(x, 1.0, ends)?,
        }),
        (Op::Cap { limit }, [x], []) => one(cap::forward(x, *limit, ends)?),
        (Op::CapBackward { limit }, [dy, y], []) => one(cap::backward(dy, y, *limit)?),
        _ => return run_bent(op, operands, context),
    })
}

/// Nonlinearities.
fn run_bent(
    op: &Op,
    operands: Operands<'_>,
    context: &mut Context<'_>,
) -> Result<Vec<Tensor>, Cause> {
    let (exact, ends) = (Activation::Gelu, operands.ends(0));
    Ok(match (op, operands.ins, operands.updates) {
        (Op::Gelu {}, [x], []) => one(activation::forward(exact, x, ends)?),
        (Op::GeluBackward {}, [dy, x], []) => one(activation::backward(exact, dy, x, ends)?),
        (Op::Activation { kind }, [x], []) => one(activation::forward(*kind, x, ends)?),
        (Op::ActivationBackward { kind }, [dy, x], []) => {
            one(activation::backward(*kind, dy, x, ends)?)
        }
        (Op::Gated { kind }, [gate, up], []) => one(gated::forward(*kind, gate, up)?),
        (Op::GatedBackward { kind }, [dy, gate, up], []) => {
            gated::backward(*kind, dy, gate, up)?.into()
        }
        _ => return run_experts(op, operands, context),
    })
}

/// The mixture of experts.
fn run_experts(
    op: &Op,
    operands: Operands<'_>,
    context: &mut Context<'_>,
) -> Result<Vec<Tensor>, Cause> {
    Ok(match (op, operands.ins, operands.updates) {
        (Op::Route(how), [logits], []) => route::forward(logits, how)?.into(),
        (Op::RouteBackward(how), [dweights, logits, choice], []) => {
            one(route::backward(dweights, logits, choice, how)?)
        }
        (Op::RouterLoss { .. }, [_, _], [_]) if !context.trains => none(()),
        (Op::RouterLoss { loss, replicas }, [logits, choice], [report]) => none(
            router_loss::forward(logits, choice, report, loss, *replicas)?,
        ),
        (Op::RouterLossBackward(loss), [logits, choice], []) => {
            let loss = loss.at_scale(context.update.loss_scale);
            one(router_loss::backward(logits, choice, &loss)?)
        }
        (Op::Dispatch {}, [x, choice], []) => one(dispatch::forward(x, choice)?),
        (Op::DispatchBackward {}, [drows, choice], []) => one(dispatch::backward(drows, choice)?),
        (Op::ExpertLinear {}, [rows, weight, choice], []) => {
            one(expert_linear::forward(rows, weight, choice)?)
        }
        (Op::ExpertLinearBackwardInput {}, [dy, weight, choice], []) => {
            one(expert_linear::backward_input(dy, weight, choice)?)
        }
        (Op::ExpertLinearBackwardWeight {}, [dy, rows, choice], [dweight]) => {
            none(expert_linear::backward_weight(dy, rows, choice, dweight)?)
        }
        (Op::Combine {}, [rows, weights, choice], []) => {
            one(combine::forward(rows, weights, choice)?)
        }
        (Op::CombineBackward {}, [dy, rows, weights, choice], []) => {
            combine::backward(dy, rows, weights, choice)?.into()
        }
        _ => return run_state_space(op, operands, context),
    })
}

/// The state space.
fn run_state_space(
    op: &Op,
    operands: Operands<'_>,
    context: &mut Context<'_>,
) -> Result<Vec<Tensor>, Cause> {
    Ok(match (op, operands.ins, operands.updates) {
        (Op::Convolution {}, [x, weight], []) => one(convolution::forward(x, weight)?),
        (Op::ConvolutionBackward {}, [dy, x, weight], [dweight]) => {
            one(convolution::backward(dy, x, weight, dweight)?)
        }
        (Op::Columns { widths }, [x], []) => columns::forward(x, *widths)?.into(),
        (Op::ColumnsBackward { .. }, [a, b, c], []) => one(columns::backward([a, b, c])?),
        (Op::Scan {}, [x, step, decay, write, read, skip], []) => {
            one(scan::forward([x, step, decay, write, read, skip])?)
        }
        (Op::ScanBackward {}, [dy, x, step, decay, write, read, skip], [ddecay, dskip]) => {
            let operands = [*x, *step, *decay, *write, *read, *skip];
            scan::backward(dy, operands, [ddecay, dskip])?.into()
        }
        _ => return run_rest(op, operands, context),
    })
}

/// The other half: loss and optimizer.
fn run_rest(
    op: &Op,
    operands: Operands<'_>,
    context: &mut Context<'_>,
) -> Result<Vec<Tensor>, Cause> {
    let ends = |index| operands.ends(index);
    Ok(match (op, operands.ins, operands.updates) {
        (Op::CrossEntropyMax {}, [logits], []) => one(cross_entropy::max(logits)?),
        (Op::CrossEntropyTerms { vocab, smoothed }, [logits, targets, max], []) => {
            let first = context.first_row(*vocab, width(logits));
            one(cross_entropy::terms(
                logits, targets, max, first, *smoothed,
            )?)
        }
        (Op::CrossEntropyLoss { charge, replicas }, [terms, rest @ ..], [report])
            if charge.split(rest).is_some() =>
        {
            let others = charge.split(rest).unwrap_or_default();
            let others = others.map(Option::<&&Tensor>::copied);
            let charge = context.charge(charge);
            none(cross_entropy::loss(
                terms, others, report, &charge, *replicas,
            )?)
        }
        (
            Op::CrossEntropyBackward { charge, vocab },
            [logits, targets, max, terms, weights @ ..],
            [],
        ) => {
            let first = context.first_row(*vocab, width(logits));
            one(cross_entropy::backward(
                logits,
                targets,
                [max, terms],
                weights.first().copied(),
                &charge.at_scale(context.update.loss_scale),
                first,
                ends(0),
            )?)
        }
        (Op::SumSquares { replicas }, [x], [report]) => {
            none(norm::sum_squares(x, report, *replicas)?)
        }
        (Op::ClipFactor { max_norm, scaled }, [report], [factor]) => {
            let scale = match scaled {
                true => context.update.loss_scale,
                false => 1.0,
            };
            none(norm::clip_factor(report, factor, *max_norm, scale)?)
        }
        (op, [factor], state) if op.is_update() => none(update(op, factor, state, context.update)?),
        _ => return run_collective(op, operands, context),
    })
}

/// One update of flat storages; none where the step is not finite.
fn update(op: &Op, factor: &Tensor, state: &[&Tensor], step: adam_w::Step) -> Result<(), Cause> {
    let factor = factor.f_double_value(&[0])?;
    if factor < 0.0 {
        return Ok(());
    }
    let done = match (op, state) {
        (Op::AdamW { .. }, &[weight, m, v, gradient]) => {
            adam_w::run(op, factor, [weight, m, v, gradient], step)
        }
        (Op::Adam { .. }, &[weight, m, v, gradient]) => {
            adam::run(op, factor, [weight, m, v, gradient], step)
        }
        (Op::Lion { .. }, &[weight, m, gradient]) => {
            lion::run(op, factor, [weight, m, gradient], step)
        }
        (Op::Sgd { .. }, &[weight, m, gradient]) => {
            sgd::run(op, factor, [weight, m, gradient], step)
        }
        (op, state) => {
            return Err(Cause::Operands {
                op: op.name(),
                ins: 1,
                updates: state.len(),
            });
        }
    };
    done.map_err(Cause::from)
}

/// Collectives: one group, at most one tensor of each kind.
fn run_collective(
    op: &Op,
    operands: Operands<'_>,
    context: &mut Context<'_>,
) -> Result<Vec<Tensor>, Cause> {
    let groups = &mut *context.collectives;
    Ok(match (op, operands.ins, operands.updates) {
        (Op::AllReduce { group, reduce }, [x], []) => one(collective::all_reduce(
            x,
            operands.ends(0),
            *reduce,
            groups.group(*group)?,
        )?),
        (Op::AllReduce { group, reduce }, [], [x]) => {
            none(groups.group(*group)?.all_reduce(x, *reduce)?)
        }
        (Op::AllGather { group, dim }, [x], []) => {
            one(collective::all_gather(x, *dim, groups.group(*group)?)?)
        }
        (Op::AllGather { group, dim }, [x], [y]) => none(collective::all_gather_into(
            x,
            y,
            *dim,
            groups.group(*group)?,
        )?),
        (Op::ReduceScatter { group, dim }, [x], []) => {
            one(collective::reduce_scatter(x, *dim, groups.group(*group)?)?)
        }
        (_, ins, updates) => {
            return Err(Cause::Operands {
                op: op.name(),
                ins: ins.len(),
                updates: updates.len(),
            });
        }
    })
}

fn one(tensor: Tensor) -> Vec<Tensor> {
    vec![tensor]
}

fn none((): ()) -> Vec<Tensor> {
    Vec::new()
}

/// Size of the last dimension.
pub(crate) fn width(x: &Tensor) -> i64 {
    x.size().last().copied().unwrap_or(1)
}

/// All dimensions but the last as one: what a matrix product works on.
pub(crate) fn rows(x: &Tensor) -> crate::native::Result<Tensor> {
    x.f_reshape([-1, width(x)])
}

/// The type that statistics of a type are kept in.
pub(crate) fn wide(kind: Kind) -> Kind {
    if kind == Kind::Double {
        Kind::Double
    } else {
        Kind::Float
    }
}
