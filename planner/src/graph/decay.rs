//! Which parameters weight decay reaches.
//!
//! In comes a parameter with its block, out comes the group that the language decides over. What makes up a state space (its
//! rates, and how much of the input passes by) is in none of them: shrinking it would change how long the state remembers.

use pleach_dsl::experiment::Decays;

use super::{Block, Value};

/// A group of parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// What rows are multiplied with; it always decays.
    Matrix,
    /// A table of tokens or positions, also where the head multiplies with it.
    Embedding,
    /// What is added to rows.
    Bias,
    /// The gain of a norm.
    Norm,
    /// What never decays.
    Constant,
}

impl Group {
    /// The group of a block's parameter.
    pub fn of(block: &Block, value: &Value) -> Group {
        match value.name.as_str() {
            _ if value.shrinks() && block.name == "embedding" => Group::Embedding,
            _ if value.shrinks() => Group::Matrix,
            name if name.ends_with("bias") => Group::Bias,
            _ if value.is_of_norm() => Group::Norm,
            _ => Group::Constant,
        }
    }

    /// Whether it decays.
    pub fn decays(self, decays: Decays) -> bool {
        match self {
            Group::Matrix => true,
            Group::Embedding => decays.embeddings,
            Group::Bias => decays.biases,
            Group::Norm => decays.norms,
            Group::Constant => false,
        }
    }
}
