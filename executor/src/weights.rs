//! Questions about the weights that a rank keeps from step to step: whether they are finite, and what they are squared.
//!
//! In come a plan's role and its static tensors, out comes one answer for this rank; ranks put theirs together.

use std::collections::HashMap;

use pleach_plan::{Bucket, Op, Plan, Role, TensorId};
use tch::{Kind, Tensor};

use crate::error::Cause;
use crate::statics::Statics;

/// Elements that are asked at once: an answer takes bytes for each.
const PIECE: i64 = 1 << 20;

/// Whether all of them are finite.
///
/// # Errors
/// libtorch's text.
pub fn are_finite(plan: &Plan, role: &Role, statics: &Statics) -> Result<bool, Cause> {
    for (_, weights) in kept(plan, role, statics) {
        for part in pieces(weights)? {
            if !part.f_isfinite()?.f_all()?.f_int64_value(&[])?.eq(&1) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// The sum of their squares, each over the ranks that hold the same: over all ranks together every parameter counts once.
///
/// # Errors
/// libtorch's text.
pub fn squares(plan: &Plan, role: &Role, statics: &Statics) -> Result<f64, Cause> {
    let alike = alike(plan);
    let mut sum = 0.0;
    for (bucket, weights) in kept(plan, role, statics) {
        let cut = plan.tensors[bucket.m.0 as usize]
            .dims
            .iter()
            .product::<u64>();
        let ranks = alike.get(&bucket.m).copied().unwrap_or(1) as f64;
        let ranks = ranks * weights.numel() as f64 / cut.max(1) as f64;
        for part in pieces(weights)? {
            let squared = part.f_to_kind(Kind::Double)?.f_square()?;
            sum += squared.f_sum(Kind::Double)?.f_double_value(&[])? / ranks;
        }
    }
    Ok(sum)
}

/// The buckets that a role holds with the weights that it keeps of each, once for each layer.
fn kept<'a>(
    plan: &'a Plan,
    role: &'a Role,
    statics: &'a Statics,
) -> impl Iterator<Item = (&'a Bucket, &'a Tensor)> {
    let held = plan.buckets.iter().filter(|bucket| role.holds(bucket));
    held.flat_map(move |bucket| {
        let id = bucket.master.unwrap_or(bucket.weights);
        let layers = plan.copies(role, bucket.m).into_iter();
        layers.filter_map(move |layer| Some((bucket, statics.get(id, layer)?)))
    })
}

fn pieces(weights: &Tensor) -> Result<Vec<Tensor>, Cause> {
    Ok(weights.f_view([-1])?.f_split(PIECE, 0)?)
}

/// How many ranks hold the same of what moments, by whose name it is found here, belong to: as many as their gradient's squares are divided by.
fn alike(plan: &Plan) -> HashMap<TensorId, u64> {
    let code = || plan.bodies.iter().flat_map(|body| &body.code);
    let squared: HashMap<TensorId, u64> = code()
        .filter_map(|instr| match instr.op {
            Op::SumSquares { replicas } => Some((*instr.ins.first()?, replicas)),
            _ => None,
        })
        .collect();
    let updates = code().filter(|instr| instr.op.is_update());
    let moments = updates.filter_map(|instr| {
        let (m, gradient) = (instr.updates.get(1)?, instr.updates.last()?);
        Some((*m, *squared.get(gradient)?))
    });
    moments.collect()
}
