//! What a device can do: the table that a machine writes about itself (`pleach-worker calibrate`) or that is shipped for a GPU.
//!
//! The executor fills a [`Hardware`] by measuring, the planner reads it; as text it is TOML (`hardware/*.toml`). Rates are in
//! FLOP/s and bytes/s, times in seconds, sizes in bytes. Every figure carries its source; a measured one says `measured`.

use serde::{Deserialize, Serialize};

use crate::Dtype;

/// The version of this format.
pub const SCHEMA: u32 = 1;

/// Everything that the cost model knows about one kind of device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hardware {
    /// Version of the format: [`SCHEMA`].
    pub schema: u32,
    /// The name that a cluster's `device` says: `a100_40g`, `this_machine`.
    pub name: String,
    /// A sentence for readers: what it is and where the figures come from.
    pub about: String,
    /// GPU or CPU.
    pub kind: Kind,
    /// Set in tables that a machine wrote: how far its repeated measurements lie from their median.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<Spread>,
    /// Set where nothing was measured: every figure follows from the device's data sheet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sheet_only: bool,
    /// What was measured of one placement, and by how much predictions are multiplied since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<Observed>,
    /// Capacity and bandwidth.
    pub memory: Memory,
    /// What every instruction costs beside its work: launch on a GPU, dispatch on a CPU; in seconds.
    pub launch: Figure,
    /// Seconds that the host takes to issue one operation with its derivative from PyTorch; a device that is faster than that waits. None on a CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Figure>,
    /// The same for engines that need more of it than an operation of PyTorch does, where runs of them say how much.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paces: Vec<Pace>,
    /// Cores that all ranks of the machine share; none for GPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cores: Option<Cores>,
    /// What the process or device holds beside the program's own storages.
    pub overhead: Overhead,
    /// The network and the links inside a node; none where all ranks share one machine's memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links: Option<Links>,
    /// Matrix products, for each type.
    #[serde(default)]
    pub gemm: Vec<Gemm>,
    /// Attention kernels, for each type and direction.
    #[serde(default)]
    pub attention: Vec<Attention>,
    /// Operations limited by memory whose rate was measured apart; the others run at the memory's rate.
    #[serde(default)]
    pub elementwise: Vec<Elementwise>,
    /// Collectives inside a node, for each operation and group size.
    #[serde(default)]
    pub collective: Vec<Collective>,
    /// Point-to-point transfers inside a node, by size; empty where `links` says it.
    #[serde(default)]
    pub transfer: Vec<SizePoint>,
}

/// What the host of one engine takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pace {
    /// The engine: `nanotron`.
    pub engine: String,
    /// Seconds that it takes to issue one operation.
    pub host: Figure,
    /// The same for each further rank of a tensor-parallel collective, in a job of several nodes whose stages hand on.
    pub skew: Figure,
}

/// Measured over predicted, from one run of one placement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observed {
    /// Of the time of what computes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute: Option<f64>,
    /// Of the time of what communicates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub communication: Option<f64>,
    /// Of every time, beyond these two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<f64>,
    /// Of the memory that is not weights, gradients or optimizer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<f64>,
    /// What was measured, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub about: Vec<String>,
}

impl Hardware {
    /// What predicted times of what computes and what communicates are multiplied by.
    pub fn part_factors(&self) -> [f64; 2] {
        let observed = self.observed.as_ref();
        let [compute, communication] = [
            observed.and_then(|observed| observed.compute),
            observed.and_then(|observed| observed.communication),
        ];
        [compute.unwrap_or(1.0), communication.unwrap_or(1.0)]
    }

    /// The table for so many ranks of a machine, each of which computes with its share of the cores: the figures of the largest measured team
    /// that is no larger than that. On GPUs, and where no team was measured, the table as it is.
    #[must_use]
    pub fn shared_by(mut self, ranks: u32) -> Hardware {
        let Some(cores) = &mut self.cores else {
            return self;
        };
        let threads = cores.count / ranks.max(1);
        let teams = std::mem::take(&mut cores.teams);
        let Some(team) = teams.into_iter().rfind(|team| team.threads <= threads) else {
            return self;
        };
        cores.contention = between_teams(&cores.contention, team.threads);
        self.launch = team.launch;
        self.memory.bandwidth = team.bandwidth;
        self.gemm = team.gemm;
        self.attention = team.attention;
        self.elementwise = team.elementwise;
        self
    }

    /// What predicted times are multiplied by.
    pub fn time_factor(&self) -> f64 {
        let observed = self.observed.as_ref();
        observed.and_then(|observed| observed.time).unwrap_or(1.0)
    }

    /// What predicted memory beside the state of the model is multiplied by.
    pub fn memory_factor(&self) -> f64 {
        let observed = self.observed.as_ref();
        observed.and_then(|observed| observed.memory).unwrap_or(1.0)
    }
}

/// What kind of device it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A GPU: each rank has one to itself.
    Gpu,
    /// A CPU: the ranks of a machine share its cores and memory.
    #[default]
    Cpu,
}

impl Kind {
    /// Whether it is a CPU.
    pub fn is_cpu(&self) -> bool {
        *self == Kind::Cpu
    }
}

/// One figure with its source beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// The figure.
    pub value: f64,
    /// Who says so: a data sheet, a paper's table, `measured`.
    pub source: String,
}

/// Ends of the middle 90 % of repeated measurements, relative to their median: `low = -0.05, high = 0.12`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// The 5 % quantile, below zero: the fastest runs.
    pub low: f64,
    /// The 95 % quantile, above zero: the slowest runs.
    pub high: f64,
}

/// Memory of one device (a CPU: of the machine).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Bytes.
    pub capacity: Figure,
    /// Bytes per second that operations limited by memory reach, reads and writes together (a CPU: one thread).
    pub bandwidth: Figure,
}

/// The cores that all ranks of one machine share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cores {
    /// How many.
    pub count: u32,
    /// How much slower each rank's work becomes when so many ranks work at once; rising in `active`, beginning with
    /// `{ active = 1, slowdown = 1.0 }`. Beyond the last point slowdown grows with `active`.
    pub contention: Vec<Contention>,
    /// What several threads of one rank reach together, rising in `threads`; the table's own figures are those of one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub teams: Vec<Team>,
}

/// What one rank reaches that computes with several threads, the others idle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Team {
    /// How many.
    pub threads: u32,
    /// As [`Hardware::launch`].
    pub launch: Figure,
    /// As [`Memory::bandwidth`].
    pub bandwidth: Figure,
    /// As [`Hardware::gemm`].
    pub gemm: Vec<Gemm>,
    /// As [`Hardware::attention`].
    pub attention: Vec<Attention>,
    /// As [`Hardware::elementwise`].
    pub elementwise: Vec<Elementwise>,
}

/// The same curve over teams of so many threads, each compared with one team alone.
fn between_teams(curve: &[Contention], threads: u32) -> Vec<Contention> {
    let own = |point: &&Contention| point.active <= threads;
    let alone = curve.iter().rfind(own).map_or(1.0, |point| point.slowdown);
    let first = Contention {
        active: 1,
        slowdown: 1.0,
    };
    let further = curve.iter().filter(|point| point.active > threads);
    let further = further.map(|point| Contention {
        active: point.active.div_ceil(threads),
        slowdown: (point.slowdown / alone).max(1.0),
    });
    std::iter::once(first).chain(further).collect()
}

/// One measured point of contention.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contention {
    /// Ranks that work at the same time, one thread each.
    pub active: u32,
    /// Time of the same work, over its time alone; at least 1.
    pub slowdown: f64,
}

/// Bytes beside the program's storages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overhead {
    /// Device context and loaded kernels; on a CPU the resident size of a worker before its first tensor.
    pub context: Figure,
    /// The communication library's buffers, for all groups together.
    pub communication: Figure,
    /// What kernels hold in addition once they have computed with 16 bits: generated code and packed operands of a CPU's library.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub narrow: Option<Figure>,
    /// What the allocator holds in pieces that it cannot join, as a part of the activations at the peak, beyond an engine's own slack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pieces: Option<Figure>,
}

/// How devices are joined. A spec's cluster may name other bandwidths; efficiencies and latencies are taken from here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Links {
    /// Advertised bandwidth of one device to the others of its node, one direction.
    pub intra_node: Figure,
    /// The part of it that large collectives reach (bus bandwidth over advertised).
    pub intra_efficiency: Figure,
    /// Seconds before the first byte of a transfer inside a node.
    pub intra_latency: Figure,
    /// Advertised bandwidth of a node's network, one direction, all ports.
    pub inter_node: Figure,
    /// The part of it that large collectives reach.
    pub inter_efficiency: Figure,
    /// Seconds for each hop between nodes.
    pub inter_latency: Figure,
}

/// Matrix products of one type: `2 m n k` FLOPs.
///
/// With `points`, the time is interpolated between them. With `tiles`, it is the launch and the waves of the best tile shape
/// (or the operands' bytes over the memory's bandwidth, where that is longer). Otherwise it is `launch + 2mnk / rate`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gemm {
    /// Type of the operands.
    pub dtype: Dtype,
    /// Peak of the data sheet in FLOP/s, dense; what utilisation is measured against. None on a CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<Figure>,
    /// FLOP/s that large products reach.
    pub rate: Figure,
    /// How a product is cut over multiprocessors: one that does not fill the last wave loses the rest of it. None on a CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiles: Option<Tiles>,
    /// Measured products.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<GemmPoint>,
}

/// How a product is cut over multiprocessors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tiles {
    /// Multiprocessors: tiles that run at the same time.
    pub processors: u32,
    /// Filling and draining a tile's pipeline costs as much as so many steps of `k`.
    pub prologue: u32,
    /// Rows and columns of the tiles there are.
    pub shapes: Vec<[u32; 2]>,
    /// Where the shape of this model comes from.
    pub source: String,
}

/// Which product of a linear layer it is; they read their operands in different orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// `y[m, n] = x[m, k] weight[n, k]ᵀ`.
    Forward,
    /// `dx[m, n] = dy[m, k] weight[k, n]`.
    Input,
    /// `dweight[m, n] += dy[k, m]ᵀ x[k, n]`.
    Weight,
}

/// One measured product on one thread (or one GPU), the others idle: median seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GemmPoint {
    /// Which product.
    pub form: Form,
    /// Rows of the result.
    pub m: u64,
    /// Columns of the result.
    pub n: u64,
    /// Length of the sums.
    pub k: u64,
    /// Median time.
    pub seconds: f64,
}

/// Forward or backward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// `attention`.
    Forward,
    /// `attention_backward`.
    Backward,
}

/// One attention kernel. FLOPs are those of the full square, not halved for causality: `4 B A S² D` forward, `10 B A S² D`
/// backward (five products, of which one is the recomputed scores).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attention {
    /// Type of queries, keys and values.
    pub dtype: Dtype,
    /// Forward or backward.
    pub direction: Direction,
    /// FLOP/s at lengths that matter.
    pub rate: Figure,
    /// Seconds for each score of the square, `B A S²` of them, whatever a head's width: exponentials, masks, conversions. None where the
    /// rate holds them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<Figure>,
}

/// The rate of one operation that memory (or, on a CPU, its arithmetic) limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Elementwise {
    /// The operation's name as in a plan: `gelu`, `layer_norm_backward`, `adam_w`.
    pub op: String,
    /// Type of its first operand.
    pub dtype: Dtype,
    /// Bytes of all operands and results over the time, launch taken off.
    pub rate: Figure,
}

/// A collective's time over its size, for one group size; `seconds` is the median over repetitions of the slowest member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collective {
    /// `all_reduce`, `all_gather` or `reduce_scatter`.
    pub op: String,
    /// Members of the group, all in one node.
    pub ranks: u32,
    /// The part of each member's core that it keeps busy: processor time over (wall time × members), 0 to 1. Zero on a GPU.
    #[serde(default)]
    pub busy: f64,
    /// Where the points come from.
    pub source: String,
    /// Sizes, rising, with their times. A size is that of the whole tensor: what is reduced, or what has been gathered.
    pub points: Vec<SizePoint>,
}

/// A size and the time that it takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SizePoint {
    /// Bytes.
    pub bytes: u64,
    /// Seconds.
    pub seconds: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(active: u32, slowdown: f64) -> Contention {
        Contention { active, slowdown }
    }

    #[test]
    fn teams_slow_each_other_down_by_what_their_threads_do_beyond_one_team() {
        let curve = [point(1, 1.0), point(2, 1.2), point(4, 1.8), point(8, 3.6)];
        assert_eq!(between_teams(&curve, 1), curve);
        let pairs = between_teams(&curve, 2);
        assert_eq!(pairs.len(), 3);
        assert_eq!((pairs[0], pairs[1].active), (point(1, 1.0), 2));
        assert!((pairs[2].slowdown - 3.0).abs() < 1e-12);
    }
}
