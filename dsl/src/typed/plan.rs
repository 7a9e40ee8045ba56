//! The typed wishes for the placement.

use num_traits::ToPrimitive;

use super::{count, text};
use crate::evaluate::Value;
use crate::experiment::{Stages, Wishes};
use crate::resolve::Resolver;
use crate::wish::{Objective, Requirement};

/// What is said, left open and wished of the placement.
pub fn wishes(
    resolver: &mut Resolver,
    requirements: Vec<Requirement>,
    objectives: Vec<Objective>,
) -> Option<Wishes> {
    let all = count(resolver, "cluster.gpus");
    Some(Wishes {
        tp: resolver.choice("tp")?,
        pp: resolver.choice("pp")?,
        dp: resolver.choice("dp")?,
        cp: resolver.choice("cp")?,
        ep: resolver.choice("ep")?,
        vpp: resolver.choice("vpp")?,
        stages: stages(resolver),
        schedule: resolver.choice("schedule")?,
        zero: resolver.choice("zero")?,
        micro_batch: resolver.choice("micro_batch")?,
        recompute: resolver.choice("recompute")?,
        recompute_budget: resolver.known("plan.recompute_budget")?.count(),
        sequence_parallel: resolver.choice("sequence_parallel")?,
        offload: resolver.choice("offload")?,
        gpus: Some(count(resolver, "plan.gpus")?).filter(|used| Some(*used) != all),
        requirements,
        objectives,
        engine: text(resolver, "plan.engine")?,
    })
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
