//! Splitting queries, keys and values by head, and rotating them by position.

use pleach_plan::Op;

use crate::differentiate::Tape;
use crate::graph::Node;
use crate::shard::strategy::{R, Strategy, shard};

/// The transpose, which needs nothing saved.
pub fn derivative(node: &Node, tape: &mut Tape) {
    let Op::SplitHeads(split) = node.op else {
        return;
    };
    let gradients: Option<Vec<_>> = node.outs.iter().map(|&out| tape.gradient(out)).collect();
    if let Some(gradients) = gradients {
        tape.back(Op::SplitHeadsBackward(split), &gradients, node.ins[0]);
    }
}

/// Whole, or heads split.
pub fn strategies() -> Vec<Strategy> {
    vec![
        Strategy::new(&[R], &[], &[R; 3]),
        Strategy::new(&[shard(2)], &[], &[shard(1); 3]),
    ]
}

/// Whole, or heads split.
pub fn backward_strategies() -> Vec<Strategy> {
    vec![
        Strategy::new(&[R; 3], &[], &[R]),
        Strategy::new(&[shard(1); 3], &[], &[shard(2)]),
    ]
}
