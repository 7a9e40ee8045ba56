//! What a rank of a plan saves, and what it needs back: derived from the plan, never told by the worker.
//!
//! In come the plan and a rank; out come the tensors that this rank writes ([`saved`]), each element being written by
//! exactly one rank however often it is replicated, and the tensors that it must fill when it resumes ([`needed`]).

use std::ops::Range;

use pleach_plan::{Bucket, Dtype, Lives, Plan, TensorId};

use super::manifest::{BucketEntry, BucketLayout, Kind, StoredTensor};

/// A tensor that a rank writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// What the checkpoint will say of it.
    pub stored: StoredTensor,
    /// The rank's tensor that it is taken from.
    pub tensor: TensorId,
    /// The first element that is taken; [`StoredTensor::length`] elements follow.
    pub from: u64,
}

/// A static tensor that a rank must fill when it resumes, whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needed {
    /// The rank's tensor.
    pub tensor: TensorId,
    /// The layer, for tensors that each layer has.
    pub layer: Option<u32>,
    /// Index of its bucket in the plan.
    pub bucket: usize,
    /// Weights (also the master copy) or a moment.
    pub kind: Kind,
    /// Place in the bucket of its first element.
    pub begin: u64,
    /// Its elements, padding included.
    pub length: u64,
}

/// Number of layers of the plan's model.
pub(super) fn layers(plan: &Plan) -> u32 {
    plan.layer_count()
}

/// Where all parameters lie in all buckets.
pub fn layouts(plan: &Plan) -> Vec<BucketLayout> {
    let layout = |(index, bucket): (usize, &Bucket)| BucketLayout {
        name: bucket.name.clone(),
        layered: is_layered(plan, bucket),
        of: layers_of(plan, bucket),
        shards: if is_sharded(plan, index) {
            u64::from(plan.mesh.tp)
        } else {
            1
        },
        length: bucket.length,
        momentum: bucket.v.is_none(),
        entries: entries(plan, index),
    };
    plan.buckets.iter().enumerate().map(layout).collect()
}

/// What `rank` writes into a checkpoint.
pub fn saved(plan: &Plan, rank: u32) -> Vec<Saved> {
    let place = plan.mesh.place(rank);
    let mut saved = Vec::new();
    for (index, bucket) in plan.buckets.iter().enumerate() {
        let sharded = is_sharded(plan, index);
        if !writes(plan, bucket, place.pp) || (!sharded && place.tp != 0) {
            continue;
        }
        let shard = if sharded { u64::from(place.tp) } else { 0 };
        for layer in held_layers(plan, bucket, place.pp) {
            for (kind, tensor) in states(bucket) {
                let (from, part) = own_part(plan, bucket, tensor, place.dp);
                if part.is_empty() {
                    continue;
                }
                let name = match layer {
                    Some(layer) => format!("{}.{layer}.{}", bucket.name, kind.name()),
                    None => format!("{}.{}", bucket.name, kind.name()),
                };
                let dtype = dtype(plan, tensor);
                let (begin, length) = (part.start, part.end - part.start);
                let stored = StoredTensor {
                    name,
                    bucket: index,
                    layer,
                    kind,
                    shard,
                    begin,
                    length,
                    dtype,
                };
                saved.push(Saved {
                    stored,
                    tensor,
                    from,
                });
            }
        }
    }
    saved
}

/// What `rank` needs from a checkpoint.
pub fn needed(plan: &Plan, rank: u32) -> Vec<Needed> {
    let place = plan.mesh.place(rank);
    let mut needed = Vec::new();
    for (index, bucket) in plan.buckets.iter().enumerate() {
        let mut tensors = states(bucket);
        if bucket
            .master
            .is_some_and(|master| master != plan.kept_weights(bucket))
        {
            tensors.push((Kind::Weight, bucket.weights));
        }
        for layer in held_layers(plan, bucket, place.pp) {
            for &(kind, tensor) in &tensors {
                let length = elements(plan, tensor);
                let begin = slice_begin(plan, bucket, tensor, place.dp);
                needed.push(Needed {
                    tensor,
                    layer,
                    bucket: index,
                    kind,
                    begin,
                    length,
                });
            }
        }
    }
    needed
}

/// The entries of a bucket, in the order in which they lie in it.
pub(super) fn entries(plan: &Plan, bucket: usize) -> Vec<BucketEntry> {
    let inside = plan
        .parameters
        .iter()
        .filter(|parameter| parameter.bucket == bucket);
    let mut entries: Vec<_> = inside
        .map(|parameter| {
            let tensor = &plan.tensors[parameter.tensor.0 as usize];
            BucketEntry {
                name: parameter.name.clone(),
                dims: parameter.dims.clone(),
                shard: parameter.shard.filter(|_| plan.mesh.tp > 1),
                offset: tensor.view.map_or(0, |view| view.offset),
                length: tensor.elements(),
            }
        })
        .collect();
    entries.sort_by_key(|entry| entry.offset);
    entries
}

/// The tensors whose values make the state of a bucket.
fn states(bucket: &Bucket) -> Vec<(Kind, TensorId)> {
    let weight = bucket.master.unwrap_or(bucket.weights);
    let second = bucket.v.map(|id| (Kind::V, id));
    let first = [(Kind::Weight, weight), (Kind::M, bucket.m)];
    first.into_iter().chain(second).collect()
}

/// Which elements of the bucket this replica writes of a tensor, and where they begin in the tensor. Replicas share the
/// work where all of them hold everything; of blocks that hold the same the first writes.
fn own_part(plan: &Plan, bucket: &Bucket, tensor: TensorId, dp: u32) -> (u64, Range<u64>) {
    let (held, whole) = (elements(plan, tensor), elements(plan, bucket.weights));
    if held != whole && dp >= plan.mesh.block() {
        return (0, 0..0);
    }
    let dp = u64::from(dp);
    let (size, sliced) = if held == whole {
        (bucket.length.div_ceil(u64::from(plan.mesh.dp)), false)
    } else {
        (held, true)
    };
    let begin = (dp * size).min(bucket.length);
    let end = (begin + size).min(bucket.length);
    (if sliced { 0 } else { begin }, begin..end)
}

fn slice_begin(plan: &Plan, bucket: &Bucket, tensor: TensorId, dp: u32) -> u64 {
    let held = elements(plan, tensor);
    if held == elements(plan, bucket.weights) {
        0
    } else {
        u64::from(dp % plan.mesh.block()) * held
    }
}

/// Whether a stage writes a bucket: the first of those that hold it.
fn writes(plan: &Plan, bucket: &Bucket, stage: u32) -> bool {
    let holds = |stage: usize| plan.roles[stage].holds(bucket);
    let stage = stage as usize;
    holds(stage) && (is_layered(plan, bucket) || !(0..stage).any(holds))
}

/// The layers for which a stage holds a bucket; one `None` for a bucket that exists once, nothing if it does not hold it.
fn held_layers(plan: &Plan, bucket: &Bucket, stage: u32) -> Vec<Option<u32>> {
    let role = &plan.roles[stage as usize];
    if role.holds(bucket) {
        plan.copies(role, bucket.m)
    } else {
        Vec::new()
    }
}

/// The layers that have a bucket, where not all do.
fn layers_of(plan: &Plan, bucket: &Bucket) -> Option<Vec<u32>> {
    let lives = plan.tensors[bucket.m.0 as usize].lives;
    let layers = (0..plan.layer_count()).filter(|&layer| plan.has(layer, lives));
    matches!(lives, Lives::Kind(_)).then(|| layers.collect())
}

fn is_layered(plan: &Plan, bucket: &Bucket) -> bool {
    plan.is_layered(bucket)
}

fn is_sharded(plan: &Plan, bucket: usize) -> bool {
    plan.mesh.tp > 1
        && plan
            .parameters
            .iter()
            .any(|parameter| parameter.bucket == bucket && parameter.shard.is_some())
}

fn elements(plan: &Plan, tensor: TensorId) -> u64 {
    plan.tensors[tensor.0 as usize].elements()
}

fn dtype(plan: &Plan, tensor: TensorId) -> Dtype {
    plan.tensors[tensor.0 as usize].dtype
}
