//! What a rank holds of its state twice while a checkpoint is written in the background: in come a plan and a role, out come bytes.

use pleach_plan::hardware::Kind;
use pleach_plan::{Bucket, Plan, Role, TensorId};

use super::statics;
use crate::cost::Costs;

/// Bytes of the copy that a rank's thread writes. A GPU's is made in the memory of its host.
pub fn copied(costs: &Costs<'_>, sizes: &[u64], role: &Role) -> u64 {
    let plan = costs.plan();
    if !plan.training.saving.background || costs.hardware().kind == Kind::Gpu {
        return 0;
    }
    let buckets = plan.buckets.iter();
    let own = buckets.flat_map(|bucket| {
        let written = written(plan, bucket).into_iter();
        written.map(move |id| own_part(plan, bucket, id, statics(plan, sizes, role, &[id])))
    });
    own.sum()
}

/// The tensors of a bucket that are saved.
fn written(plan: &Plan, bucket: &Bucket) -> Vec<TensorId> {
    let weights = bucket.master.unwrap_or(bucket.weights);
    if plan.training.saving.weights_only {
        return vec![weights];
    }
    [weights, bucket.m].into_iter().chain(bucket.v).collect()
}

/// Replicas share the work where all of them hold everything.
fn own_part(plan: &Plan, bucket: &Bucket, id: TensorId, held: u64) -> u64 {
    let elements = |id: TensorId| plan.tensors[id.0 as usize].elements();
    if elements(id) < elements(bucket.weights) {
        held
    } else {
        held.div_ceil(u64::from(plan.mesh.dp))
    }
}
