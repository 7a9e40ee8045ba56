//! A placement: the decisions that turn one experiment into one program.

use std::sync::Arc;

use pleach_plan::Recompute;

/// Where everything goes. It never changes what is trained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Tensor-parallel ranks.
    pub tp: u32,
    /// Pipeline stages.
    pub pp: u32,
    /// Chunks of layers that each stage holds: more than one is the interleaved schedule.
    pub vpp: u32,
    /// Replicas.
    pub dp: u32,
    /// ZeRO stage, 0 to 3.
    pub zero: u32,
    /// Replicas among which ZeRO divides: all of them, or fewer that stand side by side (hybrid sharding).
    pub shards: u32,
    /// Whether the residual stream is sharded over the sequence.
    pub sequence_parallel: bool,
    /// Sequences a rank works on at once.
    pub micro_batch: u64,
    /// What forward keeps.
    pub recompute: Recompute,
    /// Whose lowering it is.
    pub engine: Arc<str>,
}

impl Placement {
    /// Replicas of a block that ZeRO divides among, where it divides among fewer than all.
    pub fn blocks(&self) -> Option<u32> {
        (self.zero > 0 && self.shards < self.dp).then_some(self.shards)
    }

    /// Ranks among which a ZeRO stage divides what is its own; one where it does not.
    pub fn divides(&self, stage: u32) -> u32 {
        if self.zero >= stage { self.shards } else { 1 }
    }
}
