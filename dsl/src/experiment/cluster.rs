//! The machines of an experiment.

/// The machines.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// The preset's name: `a100_40g`.
    pub name: String,
    /// Nodes; the most that the spec allows, until the planner has chosen among [`super::Wishes::nodes`].
    pub nodes: u64,
    /// GPUs of a node (for `this_machine`: ranks that share it).
    pub gpus_per_node: u64,
    /// What one of them is: the name of a table in `hardware/`, `this_machine`, or `file:` and a table below the spec's folder.
    pub device: String,
    /// Memory of one, in bytes; none where the machine is asked.
    pub memory: Option<u64>,
    /// Dense peak of its matrix units in 16 bits, in FLOP/s; none where the machine is measured.
    pub peak_flops: Option<f64>,
    /// Bandwidth between two GPUs of a node, one direction, in bytes/s.
    pub intra_node: Option<f64>,
    /// Bandwidth of a node's network, one direction, all ports together, in bytes/s.
    pub inter_node: Option<f64>,
    /// Bandwidth of its memory by the data sheet, in bytes/s: what a plan rests on where no table measures the device.
    pub bandwidth: Option<f64>,
    /// Dense peak in 32 bits, in FLOP/s, for the same.
    pub peak_fp32: Option<f64>,
    /// What one of them costs, where it is known.
    pub price: Option<Price>,
}

/// A price, and who says so.
#[derive(Clone, Debug, PartialEq)]
pub struct Price {
    /// US dollars for one GPU and hour.
    pub usd_per_gpu_hour: f64,
    /// Where it comes from: an address, a contract, `command line`.
    pub source: String,
    /// When it was looked up: `2026-11-09`; none on the command line.
    pub date: Option<String>,
}

impl Cluster {
    /// Machines of which only this is said; the rest is left to the device's table.
    pub fn plain(device: &str, nodes: u64, gpus_per_node: u64) -> Cluster {
        Cluster {
            name: device.to_string(),
            nodes,
            gpus_per_node,
            device: device.to_string(),
            memory: None,
            peak_flops: None,
            intra_node: None,
            inter_node: None,
            bandwidth: None,
            peak_fp32: None,
            price: None,
        }
    }

    /// All GPUs.
    pub fn gpus(&self) -> u64 {
        self.nodes.saturating_mul(self.gpus_per_node)
    }
}
