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
    /// What one of them is: the name of a table in `hardware/`, or `this_machine`.
    pub device: String,
    /// Memory of one, in bytes; none where the machine is asked.
    pub memory: Option<u64>,
    /// Dense peak of its matrix units in 16 bits, in FLOP/s; none where the machine is measured.
    pub peak_flops: Option<f64>,
    /// Bandwidth between two GPUs of a node, one direction, in bytes/s.
    pub intra_node: Option<f64>,
    /// Bandwidth of a node's network, one direction, all ports together, in bytes/s.
    pub inter_node: Option<f64>,
    /// Price of one GPU-hour in US dollars, where it is known.
    pub price_per_gpu_hour: Option<f64>,
}

impl Cluster {
    /// All GPUs.
    pub fn gpus(&self) -> u64 {
        self.nodes * self.gpus_per_node
    }
}
