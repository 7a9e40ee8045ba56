//! What an experiment says of its placement.

use crate::wish::{Choice, Objective, Requirement};

/// What is said, left open and wished of the placement.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// Tensor-parallel ranks.
    pub tp: Choice<u64>,
    /// Pipeline stages.
    pub pp: Choice<u64>,
    /// Replicas.
    pub dp: Choice<u64>,
    /// ZeRO stage.
    pub zero: Choice<u64>,
    /// Sequences a rank works on at once.
    pub micro_batch: Choice<u64>,
    /// `none` or `full`.
    pub recompute: Choice<String>,
    /// Whether the residual stream is sharded over the sequence.
    pub sequence_parallel: Choice<bool>,
    /// Laws that mention the placement or its figures (those that do not were checked by the language).
    pub requirements: Vec<Requirement>,
    /// What to make small or large, in order; empty means the step time.
    pub objectives: Vec<Objective>,
    /// Whose lowering is planned: `pleach` or `neox`.
    pub engine: String,
}

impl Wishes {
    /// Nothing is said: the planner decides everything.
    pub fn open() -> Wishes {
        Wishes {
            tp: Choice::Auto,
            pp: Choice::Auto,
            dp: Choice::Auto,
            zero: Choice::Auto,
            micro_batch: Choice::Auto,
            recompute: Choice::Auto,
            sequence_parallel: Choice::Auto,
            requirements: Vec::new(),
            objectives: Vec::new(),
            engine: "pleach".to_string(),
        }
    }
}
