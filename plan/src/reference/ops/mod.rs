//! What every operation means: one file for each family, the same names as in the planner and the executor.
//!
//! In come operand values of one rank, out come results; updates change in place. Each function checks the dimensions and
//! types that it relies on by itself, so that the interpreter does not lean on the structural check.

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
#[cfg(test)]
mod differences;
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

use super::value::{Unfit, Value};
use crate::{Activation, Axis, Charge, Guard, Mesh, Op, Rank, Scores, Training};

/// Everything but operands that a result may depend on.
pub struct Context<'c> {
    /// The mesh.
    pub mesh: Mesh,
    /// Where this rank stands.
    pub place: Rank,
    /// The step, from 0.
    pub step: u64,
    /// The micro-batch of the call.
    pub micro_batch: u32,
    /// The layer of the call, for those of layers.
    pub layer: Option<u32>,
    /// Batch sizes and learning rate.
    pub training: &'c Training,
    /// The tokens of a sample: one more than a sequence has positions.
    pub tokens: &'c dyn Fn(u64) -> Vec<i64>,
    /// The scale of the step's loss, and the updates that were left out.
    pub guard: Guard,
}

impl Context<'_> {
    /// The number of the micro-batch's first sample on this rank.
    fn first_sample(&self) -> u64 {
        let (replicas, replica) = (self.mesh.dp, self.place.dp);
        let before = self
            .training
            .samples_before(replicas, replica, self.micro_batch);
        self.training.phase_samples(self.step) + before
    }

    /// The first row of a rank's vocabulary shard; none where it holds all rows.
    fn first_row(&self, vocab: Option<Axis>, rows: usize) -> Result<Option<usize>, Unfit> {
        let coordinate = vocab.map(|axis| self.coordinate(axis)).transpose()?;
        Ok(coordinate.map(|coordinate| coordinate as usize * rows))
    }

    /// What this rank's heads of queries look at.
    fn heads(&self, scores: &Scores, queries: &Value) -> Result<attention::Heads, Unfit> {
        let own = queries.shape::<4>()?[1] as u64;
        let slopes = match scores.alibi {
            None => vec![0.0; own as usize],
            Some(alibi) => {
                let coordinate = alibi.over.map(|axis| self.coordinate(axis)).transpose()?;
                let first = u64::from(coordinate.unwrap_or(0)) * own;
                (first..first + own).map(|head| alibi.slope(head)).collect()
            }
        };
        Ok(attention::Heads {
            group: scores.group as usize,
            window: scores.window.map_or(usize::MAX, |window| window as usize),
            slopes,
        })
    }

    /// The coordinate on an axis inside the stage: all ranks of a stage hold tensors of one kind.
    fn coordinate(&self, axis: Axis) -> Result<u32, Unfit> {
        match axis {
            Axis::Pp => Err(Unfit("tensors are not spread over stages".to_owned())),
            Axis::Dp | Axis::Tp => Ok(self.place.on(axis)),
        }
    }

    /// Which piece of what is cut along an axis is this rank's.
    fn piece(&self, axis: Axis) -> Result<u32, Unfit> {
        self.coordinate(axis)
            .map(|_| self.mesh.piece(self.place, axis))
    }
}

/// Runs a local operation.
///
/// # Errors
/// Operands it cannot work on. Collectives are not run here: they need the other ranks.
pub fn run(
    op: &Op,
    ins: &[Value],
    updates: &mut [Value],
    at: &Context,
) -> Result<Vec<Value>, Unfit> {
    match (op, ins, updates) {
        (Op::Tokens { which }, [], []) => one(tokens::tokens(*which, at)),
        (Op::Embedding { vocab }, [ids, table], []) => one(embedding::forward(
            ids,
            table,
            at.first_row(*vocab, table.shape::<2>()?[0])?,
        )),
        (Op::EmbeddingBackward { vocab }, [dy, ids], [dtable]) => {
            let first = at.first_row(*vocab, dtable.shape::<2>()?[0])?;
            none(embedding::backward(dy, ids, dtable, first))
        }
        (Op::Linear {}, [x, weight], []) => one(linear::forward(x, weight)),
        (Op::Linear {}, [x, weight, bias], []) => {
            one(linear::forward(x, weight).and_then(|y| bias::forward(&y, bias)))
        }
        (Op::LinearBackwardInput {}, [dy, weight], []) => one(linear::backward_input(dy, weight)),
        (Op::LinearBackwardWeight {}, [dy, x], [dweight]) => {
            none(linear::backward_weight(dy, x, dweight))
        }
        (Op::Bias {}, [x, bias], []) => one(bias::forward(x, bias)),
        (Op::BiasBackward {}, [dy], [dbias]) => none(bias::backward(dy, dbias)),
        (Op::Gelu {}, [x], []) => Ok(vec![activation::forward(Activation::Gelu, x)]),
        (Op::GeluBackward {}, [dy, x], []) => one(activation::backward(Activation::Gelu, dy, x)),
        (Op::Activation { kind }, [x], []) => Ok(vec![activation::forward(*kind, x)]),
        (Op::ActivationBackward { kind }, [dy, x], []) => one(activation::backward(*kind, dy, x)),
        (Op::Gated { kind }, [gate, up], []) => one(gated::forward(*kind, gate, up)),
        (Op::GatedBackward { kind }, [dy, gate, up], []) => {
            many(gated::backward(*kind, dy, gate, up))
        }
        (Op::Add {}, terms, []) => one(add::add(terms)),
        (Op::Slice { axis, dim }, [x], []) => one(slice::slice(
            x,
            *dim,
            at.mesh.pieces(*axis),
            at.piece(*axis)?,
        )),
        (Op::Cast {}, [source], [target]) => none(cast::cast(source, target)),
        (Op::Cast {}, [source], []) => cast::made(source).map(|value| vec![value]),
        (Op::Accumulate {}, [x], [y]) => none(add::accumulate(x, y)),
        (Op::Zero {}, [], [x]) => {
            zero::zero(x);
            Ok(Vec::new())
        }
        (op, ins, updates) => norms(op, ins, updates, at),
    }
}

/// Norms, and what stands around the layers.
fn norms(op: &Op, ins: &[Value], updates: &mut [Value], at: &Context) -> Result<Vec<Value>, Unfit> {
    match (op, ins, updates) {
        (Op::LayerNorm { eps }, [x, weight, bias @ ..], []) if bias.len() < 2 => {
            many(layer_norm::forward(x, weight, bias.first(), *eps))
        }
        (Op::LayerNormBackward {}, [dy, x, weight, mean, rstd], [dweight, dbias @ ..])
            if dbias.len() < 2 =>
        {
            let sums = (dweight, dbias.first_mut());
            one(layer_norm::backward(dy, x, weight, [mean, rstd], sums))
        }
        (Op::RmsNorm { eps }, [x, weight], []) => many(rms_norm::forward(x, weight, *eps)),
        (Op::RmsNormBackward {}, [dy, x, weight, rstd], [dweight]) => {
            one(rms_norm::backward(dy, x, weight, rstd, dweight))
        }
        (Op::HeadNorm(norm), [x, queries, keys], []) => {
            many(head_norm::forward(x, [queries, keys], norm))
        }
        (Op::HeadNormBackward(norm), [dy, x, queries, keys, rstd], [to_queries, to_keys]) => one(
            head_norm::backward(dy, x, [queries, keys], rstd, [to_queries, to_keys], norm),
        ),
        (Op::Positions { over }, [x, table], []) => {
            let first = at.first_row(*over, x.shape::<3>()?[1])?;
            one(positions::forward(x, table, first.unwrap_or(0)))
        }
        (Op::PositionsBackward { over }, [dy], [dtable]) => {
            let first = at.first_row(*over, dy.shape::<3>()?[1])?;
            none(positions::backward(dy, dtable, first.unwrap_or(0)))
        }
        (Op::Scale { by }, [x], []) => Ok(vec![scale::scale(x, *by)]),
        (Op::Dropout { share, site, over }, [x], []) => {
            let first = at.first_row(*over, x.shape::<3>()?[1])?;
            let site = dropout::Site {
                share: *share,
                site: *site,
                first: first.unwrap_or(0),
            };
            one(dropout::dropout(x, &site, at))
        }
        (Op::Cap { limit }, [x], []) => Ok(vec![cap::forward(x, *limit)]),
        (Op::CapBackward { limit }, [dy, y], []) => one(cap::backward(dy, y, *limit)),
        (op, ins, updates) => heads_and_loss(op, ins, updates, at),
    }
}

/// Attention and the cross-entropy.
fn heads_and_loss(
    op: &Op,
    ins: &[Value],
    updates: &mut [Value],
    at: &Context,
) -> Result<Vec<Value>, Unfit> {
    let shard =
        |vocab: &Option<Axis>, logits: &Value| at.first_row(*vocab, logits.shape::<3>()?[2]);
    match (op, ins, updates) {
        (Op::SplitHeads(split), [qkv], []) => many(split_heads::forward(qkv, split)),
        (Op::SplitHeadsBackward(split), [dq, dk, dv], []) => {
            one(split_heads::backward([dq, dk, dv], split))
        }
        (Op::Attention(scores), [q, k, v], []) => {
            let heads = at.heads(scores, q)?;
            many(attention::forward(q, k, v, &heads))
        }
        (Op::AttentionBackward(scores), [grad, q, k, v, out, lse], []) => {
            let heads = at.heads(scores, q)?;
            many(attention::backward(grad, [q, k, v], out, lse, &heads))
        }
        (Op::CrossEntropyMax {}, [logits], []) => one(cross_entropy::max(logits)),
        (Op::CrossEntropyTerms { vocab, smoothed }, [logits, targets, max], []) => {
            let first = shard(vocab, logits)?;
            one(cross_entropy::terms(logits, targets, max, first, *smoothed))
        }
        (Op::CrossEntropyLoss { charge, replicas }, [terms, rest @ ..], [report]) => {
            let others = charge.split(rest);
            let others = others.ok_or_else(|| Unfit(format!("{} inputs", ins.len())))?;
            let scale = charge.scale / *replicas as f64;
            let charge = Charge { scale, ..*charge };
            none(cross_entropy::loss(terms, others, report, &charge))
        }
        (
            Op::CrossEntropyBackward { charge, vocab },
            [logits, targets, max, terms, weights @ ..],
            [],
        ) if weights.len() < 2 => one(cross_entropy::backward(
            logits,
            targets,
            [max, terms],
            weights.first(),
            &charge.at_scale(at.guard.scale),
            shard(vocab, logits)?,
        )),
        (op, ins, updates) => experts(op, ins, updates, at),
    }
}

/// The mixture of experts.
fn experts(
    op: &Op,
    ins: &[Value],
    updates: &mut [Value],
    at: &Context,
) -> Result<Vec<Value>, Unfit> {
    match (op, ins, updates) {
        (Op::Route(route), [logits], []) => many(route::forward(logits, route)),
        (Op::RouteBackward(route), [dweights, logits, choice], []) => {
            one(route::backward(dweights, logits, choice, route))
        }
        (Op::RouterLoss { loss, replicas }, [logits, choice], [report]) => none(
            router_loss::forward(logits, choice, report, loss, *replicas as f64),
        ),
        (Op::RouterLossBackward(loss), [logits, choice], []) => {
            let loss = loss.at_scale(at.guard.scale);
            one(router_loss::backward(logits, choice, &loss))
        }
        (Op::Dispatch {}, [x, choice], []) => one(dispatch::forward(x, choice)),
        (Op::DispatchBackward {}, [drows, choice], []) => one(dispatch::backward(drows, choice)),
        (Op::ExpertLinear {}, [rows, weight, choice], []) => {
            one(expert_linear::forward(rows, weight, choice))
        }
        (Op::ExpertLinearBackwardInput {}, [dy, weight, choice], []) => {
            one(expert_linear::backward_input(dy, weight, choice))
        }
        (Op::ExpertLinearBackwardWeight {}, [dy, rows, choice], [dweight]) => {
            none(expert_linear::backward_weight(dy, rows, choice, dweight))
        }
        (Op::Combine {}, [rows, weights, choice], []) => {
            one(combine::forward(rows, weights, choice))
        }
        (Op::CombineBackward {}, [dy, rows, weights, choice], []) => {
            many(combine::backward(dy, rows, weights, choice))
        }
        (op, ins, updates) => state_space(op, ins, updates, at),
    }
}

/// The state space.
fn state_space(
    op: &Op,
    ins: &[Value],
    updates: &mut [Value],
    at: &Context,
) -> Result<Vec<Value>, Unfit> {
    match (op, ins, updates) {
        (Op::Convolution {}, [x, weight], []) => one(convolution::forward(x, weight)),
        (Op::ConvolutionBackward {}, [dy, x, weight], [dweight]) => {
            one(convolution::backward(dy, x, weight, dweight))
        }
        (Op::Columns { widths }, [x], []) => many(columns::forward(x, *widths)),
        (Op::ColumnsBackward { widths }, [a, b, c], []) => {
            one(columns::backward([a, b, c], *widths))
        }
        (Op::Scan {}, [x, step, decay, write, read, skip], []) => {
            let operands = scan::Operands {
                x,
                step,
                decay,
                write,
                read,
                skip,
            };
            one(scan::forward(operands))
        }
        (Op::ScanBackward {}, [dy, x, step, decay, write, read, skip], [ddecay, dskip]) => {
            let operands = scan::Operands {
                x,
                step,
                decay,
                write,
                read,
                skip,
            };
            many(scan::backward(dy, operands, [ddecay, dskip]))
        }
        (op, ins, updates) => optimizer(op, ins, updates, at),
    }
}

/// The gradient norm and the update.
fn optimizer(
    op: &Op,
    ins: &[Value],
    updates: &mut [Value],
    at: &Context,
) -> Result<Vec<Value>, Unfit> {
    match (op, ins, updates) {
        (Op::SumSquares { replicas }, [x], [report]) => {
            none(norm::sum_squares(x, report, *replicas as f64))
        }
        (Op::ClipFactor { max_norm, scaled }, [report], [factor]) => {
            let scale = if *scaled { at.guard.scale } else { 1.0 };
            none(norm::clip_factor(report, factor, *max_norm, scale))
        }
        (op, [factor], updates) if op.is_update() => match factor.data.first() {
            Some(&factor) if factor < 0.0 => Ok(Vec::new()),
            _ => none(update(op, factor, updates, at)),
        },
        (op, ins, updates) => Err(Unfit(format!(
            "{} with {} inputs and {} updates",
            op.name(),
            ins.len(),
            updates.len()
        ))),
    }
}

/// One update of weights with their moments.
fn update(op: &Op, factor: &Value, state: &mut [Value], at: &Context) -> Result<(), Unfit> {
    let rate = at.training.schedule.rate(at.step);
    let adam = |beta1, beta2, eps, weight_decay| adam_w::Rates {
        rate,
        update: at.step + 1 - at.guard.skipped.min(at.step),
        betas: [beta1, beta2],
        eps,
        weight_decay,
    };
    match (op, state) {
        (
            &Op::AdamW {
                beta1,
                beta2,
                eps,
                weight_decay,
            },
            [weight, m, v, gradient],
        ) => {
            let rates = adam(beta1, beta2, eps, weight_decay);
            adam_w::adam_w(factor, [weight, m, v, gradient], &rates)
        }
        (
            &Op::Adam {
                beta1,
                beta2,
                eps,
                weight_decay,
            },
            [weight, m, v, gradient],
        ) => {
            let rates = adam(beta1, beta2, eps, weight_decay);
            adam::adam(factor, [weight, m, v, gradient], &rates)
        }
        (op, [weight, m, gradient]) => momentum(op, factor, [weight, m, gradient], rate),
        (op, state) => Err(Unfit(format!("{} with {} updates", op.name(), state.len()))),
    }
}

/// One update of weights with one moment.
fn momentum(op: &Op, factor: &Value, state: [&mut Value; 3], rate: f64) -> Result<(), Unfit> {
    match *op {
        Op::Lion {
            beta1,
            beta2,
            weight_decay,
        } => {
            let rates = lion::Rates {
                rate,
                betas: [beta1, beta2],
                weight_decay,
            };
            lion::lion(factor, state, &rates)
        }
        Op::Sgd {
            momentum,
            nesterov,
            weight_decay,
        } => {
            let rates = sgd::Rates {
                rate,
                momentum,
                nesterov,
                weight_decay,
            };
            sgd::sgd(factor, state, &rates)
        }
        _ => Err(Unfit(format!("{} with one moment", op.name()))),
    }
}

fn one(result: Result<Value, Unfit>) -> Result<Vec<Value>, Unfit> {
    result.map(|value| vec![value])
}

fn many<const N: usize>(result: Result<[Value; N], Unfit>) -> Result<Vec<Value>, Unfit> {
    result.map(Vec::from)
}

fn none(result: Result<(), Unfit>) -> Result<Vec<Value>, Unfit> {
    result.map(|()| Vec::new())
}
