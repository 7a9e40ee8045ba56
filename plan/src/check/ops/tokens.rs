//! Signature of token ids: they come from the data, in the plan's micro-batch and sequence.

use crate::Plan;
use crate::check::signature::Signature;

/// `() -> ids[B, S]` with the sizes of the training.
pub fn tokens(plan: &Plan) -> Signature {
    let pattern = format!("{} {}", plan.training.micro_batch, plan.training.sequence);
    Signature::new().make("ids", &pattern, "ids")
}
