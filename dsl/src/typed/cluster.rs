//! The typed cluster.

use num_traits::ToPrimitive;

use super::{count, real, text};
use crate::evaluate::Value;
use crate::experiment::{Cluster, Price};
use crate::origin::Layer;
use crate::quantity::to_f64;
use crate::resolve::{Content, Resolver};

/// The machines.
pub fn cluster(resolver: &mut Resolver) -> Option<Cluster> {
    Some(Cluster {
        name: resolver.kind("cluster")?,
        nodes: match sizes(resolver) {
            Some(sizes) => sizes.into_iter().max()?,
            None => count(resolver, "cluster.nodes")?,
        },
        gpus_per_node: count(resolver, "cluster.gpus_per_node")?,
        device: text(resolver, "cluster.device")?,
        memory: count(resolver, "cluster.memory"),
        peak_flops: real(resolver, "cluster.peak"),
        intra_node: real(resolver, "cluster.intra_node"),
        inter_node: real(resolver, "cluster.inter_node"),
        bandwidth: real(resolver, "cluster.bandwidth"),
        peak_fp32: real(resolver, "cluster.peak_fp32"),
        price: price(resolver),
    })
}

/// The price with its source; on the command line it is its own.
fn price(resolver: &mut Resolver) -> Option<Price> {
    /// Seconds of an hour: a price in base units is per second.
    const HOUR: f64 = 3600.0;
    let price = resolver.known("cluster.price")?;
    let said = price.layer != Layer::CommandLine;
    let source = text(resolver, "cluster.price_source").filter(|_| said);
    Some(Price {
        usd_per_gpu_hour: to_f64(price.number()?) * HOUR,
        source: source.unwrap_or_else(|| "command line".to_string()),
        date: text(resolver, "cluster.price_date").filter(|_| said),
    })
}

/// The numbers of nodes among which the planner chooses, rising; none where it is settled.
pub fn sizes(resolver: &mut Resolver) -> Option<Vec<u64>> {
    let per_node = count(resolver, "cluster.gpus_per_node")?;
    let nodes = choices(resolver, "cluster.nodes");
    let mut sizes: Vec<u64> = match nodes {
        Some(nodes) => nodes,
        None => choices(resolver, "cluster.gpus")?
            .into_iter()
            .map(|gpus| gpus / per_node)
            .collect(),
    };
    sizes.sort_unstable();
    sizes.dedup();
    Some(sizes)
}

/// What `in` leaves of a cell.
pub fn choices(resolver: &mut Resolver, path: &str) -> Option<Vec<u64>> {
    let id = resolver.tree.find(path)?;
    let Content::Cell { domain: true, .. } = resolver.tree.node(id).content else {
        return None;
    };
    let Ok(Value::List(items)) = resolver.value(id) else {
        return None;
    };
    let count = |item: &Value| match item {
        Value::Number(quantity) => quantity.value.to_u64(),
        _ => None,
    };
    items.iter().map(count).collect()
}
