//! What a rank of any placement loads from the checkpoint of any other: the bits of weights, masters and moments, and copies in 16 bits that
//! are their masters rounded once; and what it then saves is that state again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::path::Path;

use pleach_executor::saving::Saver;
use pleach_executor::statics::Statics;
use pleach_plan::{Bucket, Dtype, Plan, Standing, TensorId};
use pleach_storage::{checkpoint, init};

#[path = "../../storage/src/checkpoint/tests/sample.rs"]
mod sample;

use checkpoint::{Checkpoint, Kind, commit, write_shard};
use sample::{LAYERS, Placement, logical, plan, round, state, write};

const STEP: u64 = 7;

/// Replicas, those of a block, stages, ranks of a matrix, ZeRO.
const PLACEMENTS: [[u32; 5]; 8] = [
    [1, 1, 1, 1, 0],
    [1, 1, 1, 2, 0],
    [1, 1, 2, 1, 0],
    [2, 2, 1, 1, 1],
    [3, 3, 1, 1, 1],
    [4, 2, 1, 1, 1],
    [1, 1, 2, 2, 0],
    [2, 2, 2, 2, 1],
];

fn placed([dp, shards, pp, tp, zero]: [u32; 5], [compute, accumulate]: [Dtype; 2]) -> Plan {
    plan(Placement {
        dp,
        shards,
        pp,
        tp,
        zero,
        compute,
        accumulate,
    })
}

/// What a rank holds of a bucket: its weights, also in 16 bits beside a master, and moments.
fn held(bucket: &Bucket) -> impl Iterator<Item = (Kind, TensorId)> {
    let weights = [bucket.weights].into_iter().chain(bucket.master);
    let moments = [(Kind::M, Some(bucket.m)), (Kind::V, bucket.v)];
    let moments = moments
        .into_iter()
        .filter_map(|(kind, id)| Some((kind, id?)));
    weights.map(|id| (Kind::Weight, id)).chain(moments)
}

/// The tensors of a rank, filled from a checkpoint, each of them held against what it must be.
fn loaded(plan: &Plan, rank: u32, good: &Checkpoint) -> Statics {
    let place = plan.mesh.place(rank);
    let role = &plan.roles[place.pp as usize];
    let statics = Statics::new(plan, role, tch::Device::Cpu).unwrap();
    saver(plan, rank, Path::new(""))
        .fill(good, &statics)
        .unwrap();
    let buckets = plan.buckets.iter().enumerate();
    for (number, bucket) in buckets.filter(|(_, bucket)| role.holds(bucket)) {
        for layer in plan.copies(role, bucket.m) {
            for (kind, id) in held(bucket) {
                let found = statics.get(id, layer).unwrap().to_kind(tch::Kind::Double);
                let found = Vec::<f64>::try_from(found).unwrap();
                let dtype = plan.tensors[id.0 as usize].dtype;
                let whole = state(plan, rank, number, layer, kind, STEP);
                // Where it is a slice, of a block's replicas each has the next one.
                let pieces = whole.len() / found.len();
                let wanted = &whole[(place.dp as usize % pieces) * found.len()..][..found.len()];
                let bits = |value: f64| value.to_bits();
                let wanted: Vec<u64> = wanted.iter().map(|it| bits(round(*it, dtype))).collect();
                let found: Vec<u64> = found.into_iter().map(bits).collect();
                assert_eq!(found, wanted, "rank {rank}, {} in {dtype:?}", bucket.name);
            }
        }
    }
    statics
}

fn saver<'p>(plan: &'p Plan, rank: u32, folder: &Path) -> Saver<'p> {
    Saver {
        plan,
        rank,
        folder: folder.to_owned(),
    }
}

/// Loads a checkpoint on all ranks of a plan, and saves what they hold.
fn through(plan: &Plan, good: &Checkpoint, folder: &Path) -> Checkpoint {
    for rank in 0..plan.mesh.ranks() {
        let statics = loaded(plan, rank, good);
        let copied = saver(plan, rank, folder).copy(&statics, true);
        let (tensors, bytes): (Vec<_>, Vec<_>) = copied.into_iter().unzip();
        let names = tensors.iter().map(|saved| saved.stored.name.clone());
        let mut bytes: HashMap<String, Vec<u8>> = names.zip(bytes).collect();
        let content = |saved: &checkpoint::Saved| bytes.remove(&saved.stored.name).unwrap();
        write_shard(folder, STEP, rank, &tensors, content).unwrap();
    }
    let written = commit(folder, plan, STEP, &Standing::new(None)).unwrap();
    Checkpoint::open(&written).unwrap()
}

fn every_pair(types: [Dtype; 2]) {
    for from in PLACEMENTS {
        let folder = tempfile::tempdir().unwrap();
        let old = placed(from, types);
        let good = Checkpoint::open(&write(&folder.path().join("old"), &old, STEP)).unwrap();
        for to in PLACEMENTS {
            let new = placed(to, types);
            let again = through(&new, &good, &folder.path().join("new"));
            assert_eq!(again.parameters().count(), 2 + 4 * LAYERS as usize);
            for (name, dims) in again.parameters() {
                for kind in Kind::ALL {
                    let wanted = logical(name, dims, None, kind, STEP, types[1]);
                    let found = again.logical(name, kind).unwrap();
                    assert_eq!(found, wanted, "{from:?} to {to:?}: {name}, {}", kind.name());
                }
            }
        }
    }
}

#[test]
fn every_pair_of_placements_in_f64() {
    every_pair([Dtype::F64; 2]);
}

#[test]
fn every_pair_of_placements_in_bf16_with_f32_masters() {
    every_pair([Dtype::Bf16, Dtype::F32]);
}
