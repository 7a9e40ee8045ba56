//! The router: softmax in the wide type, the largest logits by number.

use pleach_plan::Route;
use tch::{Kind, Tensor};

use super::wide;
use crate::native::Result;

/// Weights and choice.
pub fn forward(logits: &Tensor, route: &Route) -> Result<[Tensor; 2]> {
    let (_, choice) = logits.f_topk(route.active.cast_signed(), -1, true, true)?;
    Ok([shares(logits, &choice, route)?, choice])
}

/// The gradient of the logits, the choice held fast.
pub fn backward(
    dweights: &Tensor,
    logits: &Tensor,
    choice: &Tensor,
    route: &Route,
) -> Result<Tensor> {
    let shares = shares(logits, choice, route)?;
    let pull = shares.f_mul(dweights)?;
    let mean = pull.f_sum_dim_intlist([-1i64].as_slice(), true, shares.kind())?;
    let slopes = if route.normalised {
        let mut off = shares.f_mul(&mean)?;
        let slopes = off.f_neg_()?.f_add_(&pull)?;
        let mut whole = Tensor::f_zeros(logits.size(), (shares.kind(), logits.device()))?;
        whole.f_scatter_add_(-1, choice, &slopes)?
    } else {
        let mut all = softmax(logits)?;
        let mut off = all.f_mul_(&mean)?.f_neg_()?;
        off.f_scatter_add_(-1, choice, &pull)?
    };
    slopes.f_to_kind(logits.kind())
}

/// The softmax over all experts, in the wide type.
pub fn softmax(logits: &Tensor) -> Result<Tensor> {
    logits.f_softmax(-1, wide(logits.kind()))
}

/// How much each chosen expert counts.
fn shares(logits: &Tensor, choice: &Tensor, route: &Route) -> Result<Tensor> {
    let kind: Kind = wide(logits.kind());
    if route.normalised {
        let chosen = logits.f_gather(-1, choice, false)?;
        chosen.f_softmax(-1, kind)
    } else {
        softmax(logits)?.f_gather(-1, choice, false)
    }
}
