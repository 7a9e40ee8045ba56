//! What a plan carries of its own prediction: times and bytes that a run is held against.

use serde::{Deserialize, Serialize};

use crate::hardware::Kind;

/// What the planner expects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// One step, in picoseconds.
    pub step_ps: u64,
    /// Lower and upper end of the 90 % band of the step, in picoseconds.
    pub band_ps: [u64; 2],
    /// For each role, in order.
    pub roles: Vec<RolePrediction>,
    /// For each body, in order, its instructions: each alone, in picoseconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instructions_ps: Vec<Vec<u64>>,
    /// What each rank computes on.
    #[serde(default, skip_serializing_if = "Kind::is_cpu")]
    pub device: Kind,
    /// What the use of a device is measured by, where its peak is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub useful: Option<Useful>,
    /// What the figures rest on.
    pub assumptions: Vec<String>,
}

/// What the use of a device is measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Useful {
    /// FLOPs of the model's own products in a step, for each rank: nothing that is computed again counts.
    pub flops: u64,
    /// FLOP/s that the device reaches at most in the type that is computed in.
    pub peak: u64,
}

impl Useful {
    /// The part of the peak that a step took of so many seconds.
    pub fn part(&self, seconds: f64) -> f64 {
        self.flops as f64 / (self.peak as f64 * seconds)
    }
}

/// What the planner expects of one stage's ranks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolePrediction {
    /// Largest sum of live named storages, in bytes.
    pub named_peak: u64,
    /// Largest sum of live named storages and the running kernel's workspace, in bytes.
    pub allocated_peak: u64,
    /// What the process or device shows beside: context, libraries, allocator, in bytes.
    pub overhead: u64,
}
