//! Tokens: replicas see different sequences of the same logical micro-batch.

use pleach_plan::op::Tokens;

use super::Site;
use crate::verify::held::{Item, State};
use crate::verify::number::Number;

/// The ids of a micro-batch, or the weights of its targets in the loss of the global batch.
pub fn tokens(which: Tokens, site: &Site) -> [Item; 1] {
    let name = match which {
        Tokens::Inputs => "inputs",
        Tokens::Targets => "targets",
        Tokens::Weights => "weights",
    };
    let number = Number::of(name, &[u64::from(site.micro_batch)], &[]);
    site.results([], [number], |axis, []| {
        Some([if axis == 0 {
            State::Shard(0)
        } else {
            State::Whole
        }])
    })
}
