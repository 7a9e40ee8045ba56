//! Cross-entropy over a vocabulary that may be sharded: four steps, between which the ranks combine what they found.

use pleach_plan::Charge;
use tch::{Kind, Tensor};

use super::{report, wide, width};
use crate::native::Result;

/// Elements of logits that are exponentiated at once, which bounds the temporary.
const CHUNK: i64 = 1 << 16;

/// The largest logit of each row.
pub fn max(logits: &Tensor) -> Result<Tensor> {
    logits
        .f_amax([-1i64].as_slice(), false)?
        .f_to_kind(wide(logits.kind()))
}

/// `[2, B, S]`: each row's sum of `exp(logit - max)`, and its target's `logit - max` where the target is ours; smoothed, also each
/// row's sum of `logit - max`.
pub fn terms(
    logits: &Tensor,
    targets: &Tensor,
    max: &Tensor,
    first: i64,
    smoothed: bool,
) -> Result<Tensor> {
    let parts = 2 + i64::from(smoothed);
    let (rows, count) = (super::rows(logits)?, width(logits));
    let (flat_max, flat_targets) = (max.f_reshape([-1, 1])?, targets.f_reshape([-1, 1])?);
    let tokens = flat_max.size()[0];
    let result = Tensor::f_empty([parts, tokens], (max.kind(), max.device()))?;
    let step = (CHUNK / count).max(1);
    for start in (0..tokens).step_by(step as usize) {
        let length = step.min(tokens - start);
        let cut = |x: &Tensor| x.f_narrow(0, start, length);
        let mut shifted = cut(&rows)?.f_sub(&cut(&flat_max)?)?;
        let own = Own::of(&cut(&flat_targets)?, first, count)?;
        let chosen = shifted
            .f_gather(1, &own.rows, false)?
            .f_mul(&own.inside.f_to_kind(shifted.kind())?)?;
        let put = |part: i64, values: &Tensor| {
            let place = result.f_select(0, part)?.f_narrow(0, start, length)?;
            place.shallow_clone().f_copy_(values)
        };
        let sum = |x: &Tensor| x.f_sum_dim_intlist([-1i64].as_slice(), false, max.kind());
        put(1, &chosen.f_squeeze_dim(1)?)?;
        if smoothed {
            put(2, &sum(&shifted)?)?;
        }
        put(0, &sum(&shifted.f_exp_()?)?)?;
    }
    let mut dims = vec![parts];
    dims.extend(max.size());
    result.f_view(dims.as_slice())
}

/// Adds to the loss of a report, over the replicas, what all tokens are charged with: `[max, weights]` where they are read.
pub fn loss(
    terms: &Tensor,
    [max, weights]: [Option<&Tensor>; 2],
    report: &Tensor,
    charge: &Charge,
    replicas: u64,
) -> Result<()> {
    let sum = charged(terms, [max, weights], charge)?.f_double_value(&[])?;
    report::gain(report, 0, sum * charge.scale / replicas as f64)
}

/// What all tokens are charged with, before the charge's scale: one double, where the terms are.
pub fn charged(
    terms: &Tensor,
    [max, weights]: [Option<&Tensor>; 2],
    charge: &Charge,
) -> Result<Tensor> {
    let [own, even] = charge.shares();
    let sums = terms.f_select(0, 0)?.f_log()?;
    let mut losses = sums.f_sub(&terms.f_select(0, 1)?.f_mul_scalar(own)?)?;
    if charge.is_smoothed() {
        losses = losses.f_sub_(&terms.f_select(0, 2)?.f_mul_scalar(even)?)?;
    }
    if let Some(max) = max.filter(|_| charge.is_squared()) {
        let squared = sums.f_add(max)?.f_square()?;
        losses = losses.f_add_(&squared.f_mul_scalar(charge.z_loss)?)?;
    }
    if let Some(weights) = weights {
        losses = losses.f_mul_(weights)?;
    }
    losses.f_sum(Kind::Double)
}

/// The gradient of the charge, plain `scale * weights * (softmax - onehot)`: in the storage of `logits` where that ends here and has the type to compute in.
pub fn backward(
    logits: &Tensor,
    targets: &Tensor,
    statistics: [&Tensor; 2],
    weights: Option<&Tensor>,
    charge: &Charge,
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
        .f_mul_scalar(charge.scale)?
        .f_unsqueeze(-1)?;
    if charge.is_squared() {
        let log = terms
            .f_select(0, 0)?
            .f_log()?
            .f_unsqueeze(-1)?
            .f_add_(&max)?;
        factor = factor.f_mul_(&log.f_mul_scalar(2.0 * charge.z_loss)?.f_add_scalar(1.0)?)?;
    }
    let weights = weights.map(|weights| weights.f_unsqueeze(-1)).transpose()?;
    if let Some(weights) = &weights {
        factor = factor.f_mul_(weights)?;
    }
    let gradient = shifted.shallow_clone().f_exp_()?.f_mul_(&factor)?;
    let [own_share, even] = charge.shares();
    if charge.is_smoothed() {
        let spread = match &weights {
            Some(weights) => weights.f_mul_scalar(charge.scale * even)?,
            None => max.f_full_like(charge.scale * even)?,
        };
        let _ = gradient.shallow_clone().f_sub_(&spread)?;
    }
    let own = Own::of(&targets.f_unsqueeze(-1)?, first, width(logits))?;
    let mut less = own
        .inside
        .f_to_kind(gradient.kind())?
        .f_mul_scalar(-charge.scale * own_share)?;
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
