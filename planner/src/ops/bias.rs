//! Bias: a vector added to every row.

use pleach_plan::Op;

use crate::differentiate::Tape;
use crate::graph::Node;
use crate::shard::strategy::{P, R, Strategy, shard};

/// The output's gradient passes through; the bias's is its sum over rows.
pub fn derivative(node: &Node, tape: &mut Tape) {
    if let Some(dy) = tape.gradient(node.outs[0]) {
        tape.back_all(Op::BiasBackward {}, &[dy], &[node.ins[1]], &[]);
        tape.contribute(node.ins[0], dy);
    }
}

/// Whole; features split; or each rank its part of the sequence.
pub fn strategies() -> Vec<Strategy> {
    vec![
        Strategy::new(&[R, R], &[], &[R]),
        Strategy::new(&[shard(2), shard(0)], &[], &[shard(2)]),
        Strategy::new(&[shard(1), R], &[], &[shard(1)]).sequence(),
    ]
}

/// The same three; over parts of the sequence the sum is partial.
pub fn backward_strategies() -> Vec<Strategy> {
    vec![
        Strategy::new(&[R], &[R], &[]),
        Strategy::new(&[shard(2)], &[shard(0)], &[]),
        Strategy::new(&[shard(1)], &[P], &[]).sequence(),
    ]
}
