//! Cross-entropy over a vocabulary that may be sharded: four steps, between which the ranks combine what they found.

use tch::{Kind, Tensor};

use super::{wide, width};
use crate::native::Result;

/// Elements of logits that are exponentiated at once, which bounds the temporary.
const CHUNK: i64 = 1 << 16;

/// The largest logit of each row.
pub fn max(logits: &Tensor) -> Result<Tensor> {
    logits
        .f_amax([-1i64].as_slice(), false)?
        .f_to_kind(wide(logits.kind()))
}

/// `[2, B, S]`: each row's sum of `exp(logit - max)`, and its target's `logit - max` where the target is ours.
pub fn terms(logits: &Tensor, targets: &Tensor, max: &Tensor, first: i64) -> Result<Tensor> {
    let (rows, count) = (super::rows(logits)?, width(logits));
    let (flat_max, flat_targets) = (max.f_reshape([-1, 1])?, targets.f_reshape([-1, 1])?);
    let tokens = flat_max.size()[0];
    let result = Tensor::f_empty([2, tokens], (max.kind(), max.device()))?;
    let step = (CHUNK / count).max(1);
    for start in (0..tokens).step_by(step as usize) {
        let length = step.min(tokens - start);
        let cut = |x: &Tensor| x.f_narrow(0, start, length);
        let mut shifted = cut(&rows)?.f_sub(&cut(&flat_max)?)?;
        let own = Own::of(&cut(&flat_targets)?, first, count)?;
        let chosen = shifted
            .f_gather(1, &own.rows, false)?
            .f_mul(&own.inside.f_to_kind(shifted.kind())?)?;
        result
            .f_select(0, 1)?
            .f_narrow(0, start, length)?
            .f_copy_(&chosen.f_squeeze_dim(1)?)?;
        let sum = shifted
            .f_exp_()?
            .f_sum_dim_intlist([-1i64].as_slice(), false, max.kind())?;
        result
            .f_select(0, 0)?
            .f_narrow(0, start, length)?
            .f_copy_(&sum)?;
    }
    let mut dims = vec![2];
    dims.extend(max.size());
    result.f_view(dims.as_slice())
}

/// Adds `scale / replicas * sum(weights * (ln(terms[0]) - terms[1]))` to `report[0]`.
pub fn loss(
    terms: &Tensor,
    weights: Option<&Tensor>,
    report: &Tensor,
    scale: f64,
    replicas: u64,
) -> Result<()> {
    let mut losses = terms
        .f_select(0, 0)?
        .f_log()?
        .f_sub(&terms.f_select(0, 1)?)?;
    if let Some(weights) = weights {
        losses = losses.f_mul_(weights)?;
    }
    let sum = losses.f_sum(Kind::Double)?.f_double_value(&[])?;
    report
        .f_select(0, 0)?
        .f_add_scalar_(sum * scale / replicas as f64)
        .map(drop)
}

/// `scale * weights * (softmax - onehot)`, in the storage of `logits` where that ends here and has the type to compute in.
pub fn backward(
    logits: &Tensor,
    targets: &Tensor,
    statistics: [&Tensor; 2],
    weights: Option<&Tensor>,
    scale: f64,
    first: i64,
    ends: bool,
) -> Result<Tensor> {
    let [max, terms] = statistics;
    let max = max.f_unsqueeze(-1)?;
    let in_place = ends && logits.kind() == max.kind();
    let shifted = if in_place {
        logits.shallow_clone().f_sub_(&max)?
    } else {
        logits.f_sub(&max)?
    };
    let mut factor = terms
        .f_select(0, 0)?
        .f_reciprocal()?
        .f_mul_scalar(scale)?
        .f_unsqueeze(-1)?;
    let weights = weights.map(|weights| weights.f_unsqueeze(-1)).transpose()?;
    if let Some(weights) = &weights {
        factor = factor.f_mul_(weights)?;
    }
    let gradient = shifted.shallow_clone().f_exp_()?.f_mul_(&factor)?;
    let own = Own::of(&targets.f_unsqueeze(-1)?, first, width(logits))?;
    let mut less = own
        .inside
        .f_to_kind(gradient.kind())?
        .f_mul_scalar(-scale)?;
    if let Some(weights) = &weights {
        less = less.f_mul_(weights)?;
    }
    gradient
        .shallow_clone()
        .f_scatter_add_(-1, &own.rows, &less)?
        .f_to_kind(logits.kind())
}

/// Targets as rows of this rank.
struct Own {
    /// The row, 0 where it is another rank's.
    rows: Tensor,
    /// Whether it is this rank's.
    inside: Tensor,
}

impl Own {
    fn of(targets: &Tensor, first: i64, count: i64) -> Result<Own> {
        let shifted = targets.f_sub_scalar(first)?;
        let inside = shifted.f_ge(0)?.f_logical_and(&shifted.f_lt(count)?)?;
        let rows = shifted.f_mul(&inside)?;
        Ok(Own { rows, inside })
    }
}
