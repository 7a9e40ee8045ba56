//! Why a program could not be run to its end, or ended in a state that means nothing.

use crate::reference::value::Unfit;
use crate::{Mark, Wire};

/// Where a rank was when it got stuck.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spot {
    /// The rank.
    pub rank: u32,
    /// Index of the slot.
    pub slot: usize,
    /// The layer.
    pub layer: Option<u32>,
    /// Name of the body.
    pub body: String,
    /// Index of the instruction.
    pub instruction: Option<usize>,
}

impl std::fmt::Display for Spot {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "rank {}, slot {}", self.rank, self.slot)?;
        if let Some(layer) = self.layer {
            write!(out, ", layer {layer}")?;
        }
        if !self.body.is_empty() {
            write!(out, ", {}", self.body)?;
        }
        match self.instruction {
            Some(index) => write!(out, ", instruction {index}"),
            None => Ok(()),
        }
    }
}

/// A rank that cannot go on, and why.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{spot}: {why}")]
pub struct Stuck {
    /// Where.
    pub spot: Spot,
    /// Why.
    #[source]
    pub why: Box<Why>,
}

impl Stuck {
    /// A rank that is stuck at a place.
    pub fn new(spot: Spot, why: impl Into<Why>) -> Self {
        Stuck {
            spot,
            why: Box::new(why.into()),
        }
    }
}

/// Why a rank cannot go on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Why {
    /// An id out of range, or a mesh of no ranks.
    #[error("the plan names {0}, which it does not have")]
    Missing(String),
    /// Operands that an operation cannot work on.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// A name without a value.
    #[error("`{0}` has no value")]
    Undefined(String),
    /// A name with a value gets another.
    #[error("`{0}` already has a value")]
    AssignedTwice(String),
    /// A value of another shape or type than declared.
    #[error("`{name}` is declared as {declared}, but the value is {found}")]
    Declared {
        /// The tensor.
        name: String,
        /// Declared shape and type.
        declared: String,
        /// What it would get.
        found: String,
    },
    /// A static tensor where a local one must stand, or the other way round.
    #[error("`{0}` does not live where it is used")]
    Lifetime(String),
    /// Values left in a body that ended.
    #[error("the body ends with values left: {0:?}")]
    Leftover(Vec<String>),
    /// A wire without a value.
    #[error("the wire {0:?} of micro-batch {1} is empty")]
    WireEmpty(Wire, u32),
    /// A wire with a value gets another.
    #[error("the wire {0:?} of micro-batch {1} is full")]
    WireFull(Wire, u32),
    /// A frame that holds other tensors than are taken.
    #[error("the frame of block `{0}` does not hold what is taken")]
    FrameMissing(String),
    /// A frame is written twice.
    #[error("the frame of block `{0}` is full")]
    FrameFull(String),
    /// A wait for a transfer that is not under way, or a token used twice.
    #[error("token {0} is not usable here")]
    Token(u32),
    /// Two ranks meet with different transfers or collectives.
    #[error("{found} meets {expected}")]
    Mismatch {
        /// What this rank brings.
        found: String,
        /// What the other brings.
        expected: String,
    },
    /// Marks out of order, or a body on the wrong side of one.
    #[error("out of order after {0:?}")]
    Order(Vec<Mark>),
    /// Wires, frames or transfers left when the step ended.
    #[error("the step ends with {0} left over")]
    StepLeftover(&'static str),
    /// Nobody can go on.
    #[error("nobody can go on; unfinished: {}", .0.join("; "))]
    Deadlock(Vec<String>),
    /// Ranks that should hold the same values do not.
    #[error("ranks {ranks:?} hold different values of `{name}`: {left} and {right}")]
    Disagree {
        /// What they should agree on.
        name: String,
        /// The two ranks.
        ranks: [u32; 2],
        /// A value of the first.
        left: f64,
        /// The second's value at the same place.
        right: f64,
    },
}
