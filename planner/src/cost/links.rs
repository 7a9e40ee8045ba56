//! Collectives and transfers: sizes and places in, seconds out.
//!
//! Inside a node a collective's time is read off its measured curve (log-log between points). A curve of another group size or
//! operation is scaled by the bytes that each member sends: `2 (g - 1) / g` of the tensor for an all-reduce, half of that for the
//! others. Between nodes the phases inside and between run at the same time, so the slower one counts, and groups that leave one
//! node share its network.

use pleach_dsl::experiment::Cluster;
use pleach_plan::hardware::{Hardware, SizePoint};

use super::topology::Geometry;

/// Prices what travels.
pub struct Links<'a> {
    hardware: &'a Hardware,
    intra: f64,
    inter: f64,
    ranks_per_node: u32,
    /// What times are multiplied by since a run was measured.
    observed: f64,
}

impl<'a> Links<'a> {
    /// The links of a cluster: what the spec says of bandwidths goes before the device's table.
    pub fn new(hardware: &'a Hardware, cluster: &Cluster) -> Self {
        let links = hardware.links.as_ref();
        let intra = cluster
            .intra_node
            .or(links.map(|links| links.intra_node.value));
        let inter = cluster
            .inter_node
            .or(links.map(|links| links.inter_node.value));
        let bandwidth = hardware.memory.bandwidth.value;
        Links {
            hardware,
            intra: intra.unwrap_or(bandwidth)
                * links.map_or(1.0, |links| links.intra_efficiency.value),
            inter: inter.unwrap_or(bandwidth)
                * links.map_or(1.0, |links| links.inter_efficiency.value),
            ranks_per_node: u32::try_from(cluster.gpus_per_node)
                .unwrap_or(u32::MAX)
                .max(1),
            observed: hardware.part_factors()[1],
        }
    }

    /// Ranks of a node.
    pub fn ranks_per_node(&self) -> u32 {
        self.ranks_per_node
    }

    /// Seconds of a collective over a tensor of so many bytes (the whole one), and the part of a core that it keeps busy.
    pub fn collective(&self, op: &str, bytes: u64, geometry: &Geometry) -> (f64, f64) {
        let (seconds, busy) = self.by_table(op, bytes, geometry);
        (seconds * self.observed, busy)
    }

    fn by_table(&self, op: &str, bytes: u64, geometry: &Geometry) -> (f64, f64) {
        if geometry.size <= 1 {
            return (self.hardware.launch.value, 1.0);
        }
        let (inside, busy) = self.inside(op, bytes, geometry.per_node);
        if geometry.nodes <= 1 {
            return (inside, busy);
        }
        let volume = bytes as f64 * wire(op, geometry.nodes) * f64::from(geometry.sharing.max(1));
        let between = self.hops(geometry.nodes) + volume / self.inter;
        (inside.max(between), busy)
    }

    /// Seconds of a transfer between two ranks; `crossing` ranks of the node send over the network at the same time.
    pub fn transfer(&self, bytes: u64, crossing: u32) -> f64 {
        self.transfer_by_table(bytes, crossing) * self.observed
    }

    fn transfer_by_table(&self, bytes: u64, crossing: u32) -> f64 {
        let links = self.hardware.links.as_ref();
        if crossing > 0 {
            let latency = links.map_or(0.0, |links| links.inter_latency.value);
            return latency + bytes as f64 * f64::from(crossing) / self.inter;
        }
        if !self.hardware.transfer.is_empty() {
            return between(&self.hardware.transfer, bytes as f64);
        }
        links.map_or(self.hardware.launch.value, |links| {
            links.intra_latency.value
        }) + bytes as f64 / self.intra
    }

    fn inside(&self, op: &str, bytes: u64, members: u32) -> (f64, f64) {
        if members <= 1 {
            return (self.hardware.launch.value, 0.0);
        }
        let curves = &self.hardware.collective;
        let distance = |ranks: u32| ranks.abs_diff(members);
        let own = curves
            .iter()
            .filter(|curve| curve.op == op)
            .min_by_key(|curve| distance(curve.ranks));
        let any = || curves.iter().min_by_key(|curve| distance(curve.ranks));
        match own.or_else(any).filter(|curve| !curve.points.is_empty()) {
            Some(curve) => {
                let scale = wire(op, members) / wire(&curve.op, curve.ranks);
                (between(&curve.points, bytes as f64 * scale), curve.busy)
            }
            None => {
                let latency = self
                    .hardware
                    .links
                    .as_ref()
                    .map_or(self.hardware.launch.value, |l| l.intra_latency.value);
                (
                    latency * f64::from(members) + bytes as f64 * wire(op, members) / self.intra,
                    0.0,
                )
            }
        }
    }

    /// Latency over nodes: a ring's hops where they are few, a tree's levels where they are many.
    fn hops(&self, nodes: u32) -> f64 {
        let levels = 4.0 * libm::log2(f64::from(nodes));
        self.hardware
            .links
            .as_ref()
            .map_or(0.0, |links| links.inter_latency.value)
            * f64::from(nodes).min(levels)
    }
}

/// The part of the whole tensor that each member sends.
fn wire(op: &str, members: u32) -> f64 {
    let part = f64::from(members - 1) / f64::from(members);
    if op == "all_reduce" { 2.0 * part } else { part }
}

/// Time at a size: log-log between points; below the first its time, beyond the last in proportion to the size.
fn between(points: &[SizePoint], bytes: f64) -> f64 {
    let (first, last) = (points[0], points[points.len() - 1]);
    if bytes <= first.bytes as f64 {
        return first.seconds;
    }
    if bytes >= last.bytes as f64 {
        return last.seconds * bytes / last.bytes as f64;
    }
    let upper = points
        .iter()
        .position(|point| point.bytes as f64 >= bytes)
        .unwrap_or(points.len() - 1)
        .max(1);
    let (low, high) = (points[upper - 1], points[upper]);
    let part =
        libm::log(bytes / low.bytes as f64) / libm::log(high.bytes as f64 / low.bytes as f64);
    libm::exp(libm::log(low.seconds) + part * libm::log(high.seconds / low.seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hardware;

    fn cluster(gpus_per_node: u64) -> Cluster {
        Cluster {
            name: "c".into(),
            nodes: 12,
            gpus_per_node,
            device: "a100_80g".into(),
            memory: None,
            peak_flops: None,
            intra_node: None,
            inter_node: None,
            bandwidth: None,
            peak_fp32: None,
            price: None,
        }
    }

    #[test]
    fn curves_are_met_at_their_points_and_scaled_elsewhere() {
        let hardware = hardware::plain("a100_80g").unwrap();
        let links = Links::new(&hardware, &cluster(8));
        let eight = Geometry {
            size: 8,
            nodes: 1,
            per_node: 8,
            sharing: 0,
        };
        let (reduce, _) = links.collective("all_reduce", 1 << 30, &eight);
        assert!((f64::from(1 << 30) / reduce / 1e9 - 130.88).abs() < 0.5);
        let (gather, _) = links.collective("all_gather", 1 << 30, &eight);
        assert!(gather < 0.6 * reduce && gather > 0.4 * reduce);
    }

    #[test]
    fn groups_that_leave_a_node_share_its_network() {
        let hardware = hardware::plain("a100_80g").unwrap();
        let links = Links::new(&hardware, &cluster(8));
        let spread = |sharing| Geometry {
            size: 12,
            nodes: 3,
            per_node: 4,
            sharing,
        };
        let (alone, _) = links.collective("all_reduce", 1 << 32, &spread(1));
        let (shared, _) = links.collective("all_reduce", 1 << 32, &spread(4));
        assert!(shared > 2.5 * alone, "{alone} {shared}");
        assert!(links.transfer(1 << 27, 8) > 4.0 * links.transfer(1 << 27, 1));
    }
}
