//! What the instructions of a run took, as a rank leaves it behind: the measured half of what a plan predicts.

use serde::{Deserialize, Serialize};

/// What one rank measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The rank.
    pub rank: u32,
    /// The phase of the run, by its place from 0.
    pub phase: usize,
    /// Hash of the placement that ran.
    #[serde(default)]
    pub placement: String,
    /// Steps that were added up.
    pub steps: u64,
    /// By instruction.
    pub instructions: Vec<Instruction>,
}

/// All calls of an instruction, of every layer and micro-batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instruction {
    /// The body, or for transfers `begin` and `wait`.
    pub body: String,
    /// Its index in the body; none for transfers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    /// The operation's name, or the transfer's.
    pub name: String,
    /// How often it was called.
    pub calls: u64,
    /// What all calls took, in seconds.
    pub seconds: f64,
    /// What the shortest took.
    pub shortest: f64,
}
