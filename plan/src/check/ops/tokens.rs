//! Signature of token ids and their weights: they come from the data, in the plan's micro-batch and sequence.

use crate::Plan;
use crate::check::signature::Signature;
use crate::op::Tokens;

/// `() -> ids[B, S]`, or weights, with the sizes of the training.
pub fn tokens(plan: &Plan, which: Tokens) -> Signature {
    let pattern = format!("{} {}", plan.training.micro_batch, plan.training.sequence);
    match which {
        Tokens::Inputs | Tokens::Targets => Signature::new().make("ids", &pattern, "ids"),
        Tokens::Weights => Signature::new().make("weights", &pattern, "A"),
    }
}
