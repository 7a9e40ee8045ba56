//! The typed wishes for the placement.

use num_traits::ToPrimitive;

use super::{cluster, count, text};
use crate::evaluate::Value;
use crate::experiment::{Stages, Wishes};
use crate::resolve::Resolver;
use crate::wish::{Choice, Objective, Requirement};

/// What is said, left open and wished of the placement.
pub fn wishes(
    resolver: &mut Resolver,
    requirements: Vec<Requirement>,
    objectives: Vec<Objective>,
) -> Option<Wishes> {
    let nodes = match cluster::sizes(resolver) {
        Some(sizes) => Choice::OneOf(sizes),
        None => count(resolver, "cluster.nodes").map_or(Choice::Auto, Choice::Fixed),
    };
    Some(Wishes {
        nodes,
        tp: resolver.choice("tp")?,
        pp: resolver.choice("pp")?,
        dp: resolver.choice("dp")?,
        cp: resolver.choice("cp")?,
        ep: resolver.choice("ep")?,
        vpp: resolver.choice("vpp")?,
        stages: stages(resolver),
        schedule: resolver.choice("schedule")?,
        zero: resolver.choice("zero")?,
        shards: resolver.choice("shards")?,
        micro_batch: resolver.choice("micro_batch")?,
        recompute: resolver.choice("recompute")?,
        recompute_budget: resolver.known("plan.recompute_budget")?.count(),
        sequence_parallel: resolver.choice("sequence_parallel")?,
        offload: resolver.choice("offload")?,
        gpus: gpus(resolver),
        requirements,
        objectives,
        engine: text(resolver, "plan.engine")?,
    })
}

/// How many GPUs are used, where not all of them are.
fn gpus(resolver: &mut Resolver) -> Option<u64> {
    let used = count(resolver, "plan.gpus")?;
    (Some(used) != count(resolver, "cluster.gpus")).then_some(used)
}

/// How layers are cut into stages; none where that is left open.
fn stages(resolver: &mut Resolver) -> Option<Stages> {
    match resolver.known("plan.stages")?.value {
        Value::List(items) => {
            let layers = |item: &Value| match item {
                Value::Number(count) => count.value.to_u64(),
                _ => None,
            };
            items
                .iter()
                .map(layers)
                .collect::<Option<_>>()
                .map(Stages::Layers)
        }
        Value::Word(word) if word == "uneven" => Some(Stages::Uneven),
        _ => Some(Stages::Even),
    }
}
