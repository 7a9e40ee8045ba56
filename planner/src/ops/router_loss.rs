//! The loss on a router's logits: a root of backward, as the cross-entropy is.

use pleach_plan::Op;

use crate::differentiate::Tape;
use crate::graph::Node;
use crate::shard::strategy::{P, R, Strategy};

/// From the logits and the choice.
pub fn derivative(node: &Node, tape: &mut Tape) {
    if let Op::RouterLoss { loss, .. } = node.op {
        tape.back(Op::RouterLossBackward(loss), &node.ins, node.ins[0]);
    }
}

/// Every rank adds its share of the same loss.
pub fn strategies() -> Vec<Strategy> {
    vec![Strategy::new(&[R; 2], &[P], &[])]
}

/// Whole only: loads are counted over a sequence.
pub fn backward_strategies() -> Vec<Strategy> {
    vec![Strategy::new(&[R; 2], &[], &[R])]
}
