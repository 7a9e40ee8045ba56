//! The short convolution: channels are independent of each other.

use pleach_plan::Op;

use crate::differentiate::Tape;
use crate::graph::Node;
use crate::shard::strategy::{R, Strategy, shard};

/// From the input and the weights.
pub fn derivative(node: &Node, tape: &mut Tape) {
    if let Some(dy) = tape.gradient(node.outs[0]) {
        let (x, weight) = (node.ins[0], node.ins[1]);
        let op = Op::ConvolutionBackward {};
        tape.back_all(op, &[dy, x, weight], &[weight], &[x]);
    }
}

/// Whole, or channels split.
pub fn strategies() -> Vec<Strategy> {
    vec![
        Strategy::new(&[R; 2], &[], &[R]),
        Strategy::new(&[shard(2), shard(0)], &[], &[shard(2)]),
    ]
}

/// Whole, or channels split.
pub fn backward_strategies() -> Vec<Strategy> {
    vec![
        Strategy::new(&[R; 3], &[R], &[R]),
        Strategy::new(&[shard(2), shard(2), shard(0)], &[shard(0)], &[shard(2)]),
    ]
}
