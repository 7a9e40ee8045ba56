//! The typed cluster.

use super::{count, real, text};
use crate::experiment::Cluster;
use crate::resolve::Resolver;

/// The machines.
pub fn cluster(resolver: &mut Resolver) -> Option<Cluster> {
    /// Seconds of an hour: a price in base units is per second.
    const HOUR: f64 = 3600.0;
    Some(Cluster {
        name: resolver.kind("cluster")?,
        nodes: count(resolver, "cluster.nodes")?,
        gpus_per_node: count(resolver, "cluster.gpus_per_node")?,
        device: text(resolver, "cluster.device")?,
        memory: count(resolver, "cluster.memory"),
        peak_flops: real(resolver, "cluster.peak"),
        intra_node: real(resolver, "cluster.intra_node"),
        inter_node: real(resolver, "cluster.inter_node"),
        price_per_gpu_hour: real(resolver, "cluster.price").map(|price| price * HOUR),
    })
}
