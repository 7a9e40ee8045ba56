//! Operations on a device, where they are not computed as on a CPU: by fused kernels where those run, else by libtorch's own
//! operations. Nothing here asks the device for a value, so the host runs ahead of it.
//!
//! In come an operation and its operands as in [`super::run`], out come its results, or none where the CPU's code serves the device as well.

pub mod attention;
pub mod composed;
pub mod updates;

use pleach_plan::{Activation, Op};
use tch::{Kind, Tensor};

use super::{Context, Operands, dropout, none, norm, one, split_heads};
use crate::device::upload;
use crate::error::Cause;
use crate::kernels::{self, Launch};

/// Runs one operation with fused kernels, or without.
///
/// # Errors
/// The kernel's own.
pub fn run(
    op: &Op,
    operands: Operands<'_>,
    context: &Context<'_>,
    fused: Option<&dyn Launch>,
) -> Result<Option<Vec<Tensor>>, Cause> {
    Ok(match (op, operands.ins, operands.updates) {
        (Op::Embedding { vocab }, [ids, table], []) => {
            let first = context.first_row(*vocab, table.size()[0]);
            Some(one(composed::embedding(ids, table, first)?))
        }
        (Op::EmbeddingBackward { vocab }, [dy, ids], [dtable]) => {
            let first = context.first_row(*vocab, dtable.size()[0]);
            Some(none(composed::embedding_backward(dy, ids, dtable, first)?))
        }
        (Op::Dropout { share, site, over }, [x], []) => match &context.draws {
            Some(draws) => {
                let site = dropout::Site {
                    share: *share,
                    site: *site,
                    first: context.first_row(*over, x.size()[1]),
                };
                Some(one(dropped(x, &site, draws, operands.ends(0), fused)?))
            }
            None => None,
        },
        (op, [factor], state) if op.is_update() => {
            Some(none(updates::run(op, factor, state, context.update)?))
        }
        _ => {
            let found = run_norm(op, operands, context.update.loss_scale, fused)?;
            match found {
                Some(found) => Some(found),
                None => run_heads(op, operands, context, fused)?,
            }
        }
    })
}

fn dropped(
    x: &Tensor,
    site: &dropout::Site,
    draws: &dropout::Draws,
    ends: bool,
    fused: Option<&dyn Launch>,
) -> Result<Tensor, Cause> {
    let keys = upload(&dropout::keys(x, site, draws)?, x.device())?;
    let x = x.f_contiguous()?;
    let y = match ends {
        true => x.shallow_clone(),
        false => Tensor::f_empty(x.size(), (x.kind(), x.device()))?,
    };
    let (threshold, grown) = dropout::shares(site.share);
    match fused {
        Some(fused) => kernels::rows::dropout(fused, [&x, &y, &keys], threshold, grown)?,
        None => composed::dropout([&x, &y, &keys], threshold, grown)?,
    }
    Ok(y)
}

/// Norms.
fn run_norm(
    op: &Op,
    operands: Operands<'_>,
    loss_scale: f64,
    fused: Option<&dyn Launch>,
) -> Result<Option<Vec<Tensor>>, Cause> {
    let made = match (op, operands.ins, operands.updates) {
        (Op::LayerNorm { eps }, [x, weight, bias @ ..], []) if bias.len() < 2 => {
            let bias = bias.first().copied();
            let norm = kernels::norm::Norm {
                weight,
                bias,
                eps: *eps,
                centred: true,
            };
            match fused {
                Some(fused) => kernels::norm::forward(fused, x, None, &norm)?,
                None => composed::layer_norm(x, weight, bias, *eps)?,
            }
        }
        (Op::RmsNorm { eps }, [x, weight], []) => {
            let norm = kernels::norm::Norm {
                weight,
                bias: None,
                eps: *eps,
                centred: false,
            };
            match fused {
                Some(fused) => kernels::norm::forward(fused, x, None, &norm)?,
                None => composed::rms_norm(x, weight, *eps)?,
            }
        }
        (Op::LayerNormBackward {}, [dy, x, weight, mean, rstd], [dweight, dbias @ ..])
            if dbias.len() < 2 =>
        {
            let sums = (*dweight, dbias.first().copied());
            one(norm_backward(
                fused,
                [dy, x, weight],
                (Some(mean), rstd),
                sums,
            )?)
        }
        (Op::RmsNormBackward {}, [dy, x, weight, rstd], [dweight]) => one(norm_backward(
            fused,
            [dy, x, weight],
            (None, rstd),
            (dweight, None),
        )?),
        (Op::SumSquares { replicas }, [x], [report]) => {
            let sum = match fused {
                Some(fused) => kernels::rows::sum_squares(fused, x)?,
                None => composed::sum_squares(x)?,
            };
            none(composed::add_to(report, 1, &sum, 1.0 / *replicas as f64)?)
        }
        (Op::ClipFactor { max_norm, scaled }, [report], [factor]) => {
            let scale = if *scaled { loss_scale } else { 1.0 };
            let constants = [norm::SAFETY, scale];
            none(composed::clip_factor(report, factor, *max_norm, constants)?)
        }
        _ => return Ok(None),
    };
    Ok(Some(made))
}

fn norm_backward(
    fused: Option<&dyn Launch>,
    operands: [&Tensor; 3],
    statistics: (Option<&Tensor>, &Tensor),
    sums: (&Tensor, Option<&Tensor>),
) -> Result<Tensor, Cause> {
    Ok(match fused {
        Some(fused) => kernels::norm::backward(fused, operands, statistics, sums)?,
        None => composed::norm_backward(operands, statistics, sums)?,
    })
}

/// Heads.
fn run_heads(
    op: &Op,
    operands: Operands<'_>,
    context: &Context<'_>,
    fused: Option<&dyn Launch>,
) -> Result<Option<Vec<Tensor>>, Cause> {
    let made = match (op, operands.ins, operands.updates) {
        (Op::SplitHeads(split), [qkv], []) => {
            let table = context.tables.get(split, qkv)?;
            let work = |joint: &Tensor, parts: [&Tensor; 3], shape| match fused {
                Some(fused) => kernels::heads::split(fused, joint, parts, table, (shape, true)),
                None => composed::split_heads(joint, parts, table, shape),
            };
            split_heads::forward_with(&qkv.f_contiguous()?, split, table, work)?.into()
        }
        (Op::SplitHeadsBackward(split), [dq, dk, dv], []) => {
            let table = context.tables.get(split, dq)?;
            let work = |joint: &Tensor, parts: [&Tensor; 3], shape| match fused {
                Some(fused) => kernels::heads::split(fused, joint, parts, table, (shape, false)),
                None => composed::join_heads(joint, parts, table, shape),
            };
            one(split_heads::backward_with([dq, dk, dv], table, work)?)
        }
        _ => return run_loss(op, operands, context, fused),
    };
    Ok(Some(made))
}

/// The loss.
fn run_loss(
    op: &Op,
    operands: Operands<'_>,
    context: &Context<'_>,
    fused: Option<&dyn Launch>,
) -> Result<Option<Vec<Tensor>>, Cause> {
    let made = match (op, operands.ins, operands.updates, fused) {
        (Op::CrossEntropyMax {}, [logits], [], Some(fused)) => {
            one(kernels::cross_entropy::max(fused, logits)?)
        }
        (Op::CrossEntropyTerms { vocab, smoothed }, [logits, targets, max], [], fused) => {
            let first = context.first_row(*vocab, super::width(logits));
            let all = [*logits, *targets, *max];
            one(match fused {
                Some(fused) => kernels::cross_entropy::terms(fused, all, first, *smoothed)?,
                None => composed::terms(all, first, *smoothed)?,
            })
        }
        (Op::CrossEntropyLoss { charge, replicas }, [terms, rest @ ..], [report], _)
            if charge.split(rest).is_some() =>
        {
            let others = charge.split(rest).unwrap_or_default();
            let others = others.map(Option::<&&Tensor>::copied);
            let charge = context.charge(charge);
            none(composed::loss(terms, others, report, (&charge, *replicas))?)
        }
        (
            Op::CrossEntropyBackward { charge, vocab },
            [logits, targets, max, terms, weights @ ..],
            [],
            Some(fused),
        ) => {
            let parts = kernels::cross_entropy::Parts {
                targets,
                max,
                terms,
                weights: weights.first().copied(),
                first: context.first_row(*vocab, super::width(logits)),
            };
            let ends = operands.ends(0);
            let charge = charge.at_scale(context.update.loss_scale);
            one(kernels::cross_entropy::backward(
                fused, logits, &parts, &charge, ends,
            )?)
        }
        (Op::RouterLoss { .. }, [_, _], [_], _) if !context.trains => none(()),
        (Op::RouterLoss { loss, replicas }, [logits, choice], [report], _) => {
            let sum = super::router_loss::sum(logits, choice, loss)?;
            none(composed::add_to(
                report,
                0,
                &sum,
                loss.scale / *replicas as f64,
            )?)
        }
        _ => return Ok(run_bent(op, operands, fused)?),
    };
    Ok(Some(made))
}

/// Nonlinearities: libtorch's own need one pass too, but for gates.
fn run_bent(
    op: &Op,
    operands: Operands<'_>,
    fused: Option<&dyn Launch>,
) -> crate::native::Result<Option<Vec<Tensor>>> {
    use kernels::activation;
    let Some(fused) = fused else { return Ok(None) };
    let ends = operands.ends(0);
    let curve = match op {
        Op::Gelu {} | Op::GeluBackward {} => Activation::Gelu,
        Op::Activation { kind } | Op::ActivationBackward { kind } => *kind,
        Op::Gated { kind } | Op::GatedBackward { kind } => *kind,
        _ => return Ok(None),
    };
    Ok(match (op, operands.ins, operands.updates) {
        (Op::Gated { .. }, [gate, up], []) => Some(one(activation::gated(fused, curve, gate, up)?)),
        (Op::GatedBackward { .. }, [dy, gate, up], []) => {
            Some(activation::gated_backward(fused, curve, [dy, gate, up])?.into())
        }
        (Op::Gelu {} | Op::Activation { .. }, [x], []) => {
            Some(one(activation::forward(fused, curve, x, ends)?))
        }
        (_, [dy, x], []) => Some(one(activation::backward(fused, curve, [dy, x], ends)?)),
        _ => None,
    })
}

/// `dweight += dyᵀ x` of 16-bit operands in an f32 accumulator, without rounding between: inside the product where libtorch does that.
pub fn accumulate_product(sum: &Tensor, dy: &Tensor, x: &Tensor) -> crate::native::Result<()> {
    static INSIDE: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    if *INSIDE.get_or_init(|| accumulates_inside(x).unwrap_or(false)) {
        return sum.f_addmm_dtype_out(sum, dy, x, Kind::Float).map(drop);
    }
    let product = dy.f_mm_dtype(x, Kind::Float)?;
    sum.shallow_clone().f_add_(&product).map(drop)
}

/// Whether a product that is told to add to its own result does so; asked once, with a small one.
fn accumulates_inside(like: &Tensor) -> crate::native::Result<bool> {
    let ones = Tensor::f_ones([16, 16], (like.kind(), like.device()))?;
    let sum = Tensor::f_full([16, 16], 0.5, (Kind::Float, like.device()))?;
    let _ = sum.f_addmm_dtype_out(&sum, &ones, &ones, Kind::Float)?;
    Ok(sum.f_eq(16.5)?.f_all()?.f_int64_value(&[])? == 1)
}
