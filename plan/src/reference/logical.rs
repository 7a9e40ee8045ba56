//! Between logical tensors and what ranks hold of them: initial values are cut, results are gathered and compared.

use std::collections::BTreeMap;

use super::rank::Memory;
use super::stuck::{Spot, Stuck, Why};
use super::value::{Unfit, Value, cut, join};
use crate::tally;
use crate::{Bucket, Layout, Parameter, Plan, Rank, Role, TensorId};

/// How far replicas may be apart, relative to their size.
const AGREE: f64 = 1e-12;

/// Logical tensors by name.
pub type Named = BTreeMap<String, Vec<f64>>;

fn at_rank(rank: u32, why: impl Into<Why>) -> Stuck {
    Stuck::new(
        Spot {
            rank,
            ..Spot::default()
        },
        why.into(),
    )
}

fn layers(plan: &Plan, role: &Role, id: TensorId) -> Vec<Option<u32>> {
    plan.copies(role, id)
}

/// A parameter's name with its layer filled in.
pub fn name(parameter: &Parameter, layer: Option<u32>) -> String {
    match layer {
        Some(layer) => parameter.name.replace("{layer}", &layer.to_string()),
        None => parameter.name.clone(),
    }
}

fn dims(dims: &[u64]) -> Vec<usize> {
    dims.iter().map(|&size| size as usize).collect()
}

/// Whether a state of a bucket is cut over the replicas.
fn is_cut(plan: &Plan, bucket: &Bucket, state: TensorId) -> bool {
    let size = |id: TensorId| plan.tensors[id.0 as usize].elements();
    plan.mesh.dp > 1 && size(state) != size(bucket.weights)
}

/// What every rank holds before the first step: parameters cut from their logical values, everything else zero.
///
/// # Errors
/// Tables that contradict each other.
pub fn memories(plan: &Plan, initial: &dyn Fn(&str, u64) -> f64) -> Result<Vec<Memory>, Stuck> {
    let mut memories = Vec::new();
    for rank in 0..plan.mesh.ranks() {
        let place = plan.mesh.place(rank);
        let role = &plan.roles[place.pp as usize];
        let mut memory = Memory::default();
        for &id in &role.statics {
            let tensor = plan.tensors.get(id.0 as usize);
            let tensor =
                tensor.ok_or_else(|| at_rank(rank, Why::Missing(format!("tensor {}", id.0))))?;
            if tensor.view.is_none() {
                for layer in layers(plan, role, id) {
                    memory
                        .statics
                        .insert((id, layer), vec![0.0; tensor.elements() as usize]);
                }
            }
        }
        for (index, bucket) in plan
            .buckets
            .iter()
            .enumerate()
            .filter(|(_, bucket)| role.holds(bucket))
        {
            for layer in layers(plan, role, bucket.m) {
                fill(plan, (index, bucket), layer, place, initial, &mut memory)
                    .map_err(|why| at_rank(rank, why))?;
            }
        }
        memories.push(memory);
    }
    Ok(memories)
}

/// Sets the weights of one bucket, and its master.
fn fill(
    plan: &Plan,
    (index, bucket): (usize, &Bucket),
    layer: Option<u32>,
    place: Rank,
    initial: &dyn Fn(&str, u64) -> f64,
    memory: &mut Memory,
) -> Result<(), Why> {
    let missing = || Why::Missing(format!("the storage of bucket {}", bucket.name));
    let elements = |id: TensorId| plan.tensors[id.0 as usize].elements() as usize;
    let mut weights = vec![0.0; elements(bucket.weights)];
    for parameter in plan
        .parameters
        .iter()
        .filter(|parameter| parameter.bucket == index)
    {
        let name = name(parameter, layer);
        let count: u64 = parameter.dims.iter().product();
        let whole = Value::free(
            &dims(&parameter.dims),
            (0..count).map(|index| initial(&name, index)).collect(),
        );
        let shard = match parameter.shard {
            Some(dim) => cut(&whole, dim, plan.mesh.tp as usize, place.tp as usize)?,
            None => whole,
        };
        let offset = plan.tensors[parameter.tensor.0 as usize]
            .view
            .map_or(0, |view| view.offset as usize);
        weights
            .get_mut(offset..offset + shard.data.len())
            .ok_or_else(missing)?
            .copy_from_slice(&shard.data);
    }
    let held = memory.statics.get_mut(&(bucket.weights, layer));
    let Some(master) = bucket.master else {
        held.ok_or_else(missing)?.clone_from(&weights);
        return Ok(());
    };
    if let Some(held) = held {
        held.clone_from(&weights);
    }
    let whole = Value::free(&[weights.len()], weights.clone());
    let pieces = if is_cut(plan, bucket, master) {
        plan.mesh.block()
    } else {
        1
    };
    let piece = cut(&whole, 0, pieces as usize, (place.dp % pieces) as usize)?;
    *memory
        .statics
        .get_mut(&(master, layer))
        .ok_or_else(missing)? = piece.data;
    Ok(())
}

/// Which of a bucket's storages is gathered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Weights in compute type.
    Weights,
    /// Master weights, where there are any.
    Master,
    /// First moments.
    First,
    /// Second moments.
    Second,
}

impl State {
    fn of(self, plan: &Plan, bucket: &Bucket) -> Option<TensorId> {
        let dtype = |id: TensorId| plan.tensors[id.0 as usize].dtype;
        match self {
            State::Weights => Some(plan.kept_weights(bucket)),
            State::Master => bucket
                .master
                .filter(|&id| dtype(id) != dtype(bucket.weights)),
            State::First => Some(bucket.m),
            State::Second => bucket.v,
        }
    }
}

/// One state of all parameters by logical name; ranks that hold the same must agree.
///
/// # Errors
/// Replicas that differ.
pub fn gather(plan: &Plan, memories: &[&Memory], state: State) -> Result<Named, Stuck> {
    let mut all = Named::new();
    for parameter in &plan.parameters {
        let bucket = &plan.buckets[parameter.bucket];
        let Some(storage) = state.of(plan, bucket) else {
            continue;
        };
        for role in plan.roles.iter().filter(|role| role.holds(bucket)) {
            for layer in layers(plan, role, bucket.m) {
                let part = |tp: u32| {
                    let held = flat(plan, memories, bucket, (storage, layer), [role.stage, tp])?;
                    shard(plan, parameter, &held).map_err(|why| at_rank(0, why))
                };
                let parts: Vec<Value> = (0..plan.mesh.tp).map(part).collect::<Result<_, _>>()?;
                let name = name(parameter, layer);
                let layout = parameter.shard.map_or(Layout::Replicate, Layout::Shard);
                let whole = combine(&parts, layout, &name)?;
                agree(
                    &name,
                    [0, 0],
                    all.get(&name).unwrap_or(&whole.data),
                    &whole.data,
                )?;
                all.insert(name, whole.data);
            }
        }
    }
    Ok(all)
}

/// The whole flat storage of a stage and tensor-parallel coordinate, which all blocks of replicas hold alike.
fn flat(
    plan: &Plan,
    memories: &[&Memory],
    bucket: &Bucket,
    key: (TensorId, Option<u32>),
    at: [u32; 2],
) -> Result<Vec<f64>, Stuck> {
    let mut wholes = wholes(plan, memories, bucket, key, at)?;
    for (index, whole) in wholes.iter().enumerate() {
        agree(&bucket.name, [0, index as u32], &wholes[0], whole)?;
    }
    Ok(wholes.swap_remove(0))
}

/// The whole flat storage as each replica holds it, or joined over the replicas of each block.
fn wholes(
    plan: &Plan,
    memories: &[&Memory],
    bucket: &Bucket,
    key: (TensorId, Option<u32>),
    [pp, tp]: [u32; 2],
) -> Result<Vec<Vec<f64>>, Stuck> {
    let ranks: Vec<u32> = (0..plan.mesh.dp)
        .map(|dp| plan.mesh.rank(Rank { dp, pp, tp }))
        .collect();
    let held = |&rank: &u32| {
        let missing = || {
            at_rank(
                rank,
                Why::Missing(format!("the storage of bucket {}", bucket.name)),
            )
        };
        memories[rank as usize]
            .statics
            .get(&key)
            .ok_or_else(missing)
    };
    let parts: Vec<&Vec<f64>> = ranks.iter().map(held).collect::<Result<_, _>>()?;
    if is_cut(plan, bucket, key.0) {
        let blocks = parts.chunks(plan.mesh.block() as usize);
        let join = |block: &[&Vec<f64>]| block.iter().copied().flatten().copied().collect();
        return Ok(blocks.map(join).collect());
    }
    Ok(parts.into_iter().cloned().collect())
}

/// A parameter's shard out of a flat storage.
fn shard(plan: &Plan, parameter: &Parameter, flat: &[f64]) -> Result<Value, Why> {
    let tensor = &plan.tensors[parameter.tensor.0 as usize];
    let offset = tensor.view.map_or(0, |view| view.offset as usize);
    let data = flat.get(offset..offset + tensor.elements() as usize);
    let data = data.ok_or_else(|| Why::Missing(format!("the elements of {}", tensor.name)))?;
    Ok(Value::free(&dims(&tensor.dims), data.to_vec()))
}

/// The logical tensor from the parts along one axis.
fn combine(parts: &[Value], layout: Layout, name: &str) -> Result<Value, Stuck> {
    match layout {
        Layout::Replicate => {
            for (rank, part) in parts.iter().enumerate() {
                agree(name, [0, rank as u32], &parts[0].data, &part.data)?;
            }
            Ok(parts[0].clone())
        }
        Layout::Shard(dim) => {
            join(&parts.iter().collect::<Vec<_>>(), dim).map_err(|unfit| at_rank(0, unfit))
        }
        Layout::Partial => {
            let mut sum = parts[0].clone();
            for part in &parts[1..] {
                sum.data
                    .iter_mut()
                    .zip(&part.data)
                    .for_each(|(sum, part)| *sum += part);
            }
            Ok(sum)
        }
    }
}

/// The gradients of all parameters by logical name, put together as their declared layouts say.
///
/// # Errors
/// Replicas that differ, or a gradient that is cut over replicas.
pub fn gradients(plan: &Plan, memories: &[&Memory]) -> Result<Named, Stuck> {
    let mut all = Named::new();
    for parameter in &plan.parameters {
        let bucket = &plan.buckets[parameter.bucket];
        let layout = plan.tensors[parameter.gradient.0 as usize].layout;
        for role in plan.roles.iter().filter(|role| role.holds(bucket)) {
            for layer in layers(plan, role, bucket.m) {
                let name = name(parameter, layer);
                if let Some(sums) = bucket.sums {
                    let part = |tp: u32| {
                        let at = [role.stage, tp];
                        let held = wholes(plan, memories, bucket, (sums, layer), at)?;
                        let shards = held.iter().map(|held| shard(plan, parameter, held));
                        let shards = shards.collect::<Result<Vec<_>, _>>();
                        let shards = shards.map_err(|why| at_rank(0, why))?;
                        combine(&shards, Layout::Partial, &name)
                    };
                    let parts = (0..plan.mesh.tp).map(part).collect::<Result<Vec<_>, _>>()?;
                    let whole = combine(&parts, layout.tp, &name)?.data;
                    add(&mut all, name, whole);
                    continue;
                }
                let part = |dp: u32, tp: u32| {
                    let rank = plan.mesh.rank(Rank {
                        dp,
                        pp: role.stage,
                        tp,
                    });
                    let held = memories[rank as usize]
                        .statics
                        .get(&(bucket.gradients, layer));
                    let held = held.ok_or_else(|| at_rank(rank, Why::Missing(name.clone())))?;
                    shard(plan, parameter, held).map_err(|why| at_rank(rank, why))
                };
                let replica = |dp: u32| {
                    let parts: Vec<Value> = (0..plan.mesh.tp)
                        .map(|tp| part(dp, tp))
                        .collect::<Result<_, _>>()?;
                    combine(&parts, layout.tp, &name)
                };
                if let Layout::Shard(_) = layout.dp {
                    return Err(at_rank(
                        0,
                        Unfit(format!("the gradient of {name} is cut over replicas")),
                    ));
                }
                let replicas: Vec<Value> =
                    (0..plan.mesh.dp).map(replica).collect::<Result<_, _>>()?;
                let own = combine(&replicas, layout.dp, &name)?.data;
                add(&mut all, name, own);
            }
        }
    }
    Ok(all)
}

/// Sums what several stages hold of one gradient.
fn add(all: &mut Named, name: String, own: Vec<f64>) {
    match all.get_mut(&name) {
        Some(sum) => sum.iter_mut().zip(&own).for_each(|(sum, own)| *sum += own),
        None => drop(all.insert(name, own)),
    }
}

/// The report, which all ranks must hold alike.
///
/// # Errors
/// Ranks that differ, or have none.
pub fn report(plan: &Plan, memories: &[&Memory]) -> Result<[f64; 2], Stuck> {
    let mut first: Option<[f64; 2]> = None;
    for (rank, memory) in memories.iter().enumerate() {
        let rank = rank as u32;
        let held = memory
            .statics
            .get(&(plan.report, None))
            .and_then(|held| tally::report(held));
        let held: [f64; 2] =
            held.ok_or_else(|| at_rank(rank, Why::Missing("the report".to_owned())))?;
        agree("the report", [0, rank], first.get_or_insert(held), &held)?;
    }
    first.ok_or_else(|| at_rank(0, Why::Missing("any rank".to_owned())))
}

fn agree(name: &str, ranks: [u32; 2], left: &[f64], right: &[f64]) -> Result<(), Stuck> {
    let apart = |(left, right): &(&f64, &f64)| {
        let near = (*left - *right).abs() <= AGREE * (1.0 + left.abs().max(right.abs()));
        !(near || left.to_bits() == right.to_bits())
    };
    match left.iter().zip(right).find(apart) {
        None => Ok(()),
        Some((&left, &right)) => Err(at_rank(
            ranks[1],
            Why::Disagree {
                name: name.to_owned(),
                ranks,
                left,
                right,
            },
        )),
    }
}
