//! What an experiment says of its placement.

use crate::wish::{Choice, Objective, Requirement};

/// What is said, left open and wished of the placement.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// Nodes of the cluster; `auto` where nothing is said of them apart from [`super::Cluster::nodes`].
    pub nodes: Choice<u64>,
    /// Tensor-parallel ranks.
    pub tp: Choice<u64>,
    /// Pipeline stages.
    pub pp: Choice<u64>,
    /// Replicas.
    pub dp: Choice<u64>,
    /// Context-parallel ranks.
    pub cp: Choice<u64>,
    /// Expert-parallel ranks.
    pub ep: Choice<u64>,
    /// Virtual stages of a rank.
    pub vpp: Choice<u64>,
    /// How layers are cut into stages; none for the engine's way.
    pub stages: Option<Stages>,
    /// `1f1b`, `interleaved`, `gpipe` or `zero_bubble`.
    pub schedule: Choice<String>,
    /// ZeRO stage.
    pub zero: Choice<u64>,
    /// Replicas among which ZeRO divides.
    pub shards: Choice<u64>,
    /// Sequences a rank works on at once.
    pub micro_batch: Choice<u64>,
    /// `none`, `selective` or `full`.
    pub recompute: Choice<String>,
    /// Bytes a rank may keep where recomputation is selective; none for the usual choice.
    pub recompute_budget: Option<u64>,
    /// Whether the residual stream is sharded over the sequence.
    pub sequence_parallel: Choice<bool>,
    /// What is kept in the host's memory: `none`, `optimizer`, `parameters` or `activations`.
    pub offload: Choice<String>,
    /// How many GPUs are used; none for all of the cluster's.
    pub gpus: Option<u64>,
    /// Laws that mention the placement or its figures (those that do not were checked by the language).
    pub requirements: Vec<Requirement>,
    /// What to make small or large, in order; empty means the step time.
    pub objectives: Vec<Objective>,
    /// Whose lowering is planned: `pleach`, `neox`, ….
    pub engine: String,
}

impl Wishes {
    /// Nothing is said: the planner decides everything.
    pub fn open() -> Wishes {
        Wishes {
            nodes: Choice::Auto,
            tp: Choice::Auto,
            pp: Choice::Auto,
            dp: Choice::Auto,
            cp: Choice::Auto,
            ep: Choice::Auto,
            vpp: Choice::Auto,
            stages: None,
            schedule: Choice::Auto,
            zero: Choice::Auto,
            shards: Choice::Auto,
            micro_batch: Choice::Auto,
            recompute: Choice::Auto,
            recompute_budget: None,
            sequence_parallel: Choice::Auto,
            offload: Choice::Auto,
            gpus: None,
            requirements: Vec::new(),
            objectives: Vec::new(),
            engine: "pleach".to_string(),
        }
    }
}

/// How layers are cut into pipeline stages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stages {
    /// Equally many in each.
    Even,
    /// By their work.
    Uneven,
    /// So many, stage by stage; virtual stages in the order in which the pipeline passes them.
    Layers(Vec<u64>),
}
