//! Learned positions: a table that every rank holds whole, whatever part of the sequence it has.

use pleach_plan::Op;

use crate::differentiate::Tape;
use crate::graph::Node;
use crate::shard::strategy::{P, R, Strategy, shard};

/// The gradient passes through; the table's is its sum over sequences.
pub fn derivative(node: &Node, tape: &mut Tape) {
    if let Some(dy) = tape.gradient(node.outs[0]) {
        let op = Op::PositionsBackward { over: None };
        tape.back_all(op, &[dy], &[node.ins[1]], &[]);
        tape.contribute(node.ins[0], dy);
    }
}

/// Whole, or each rank its part of the sequence.
pub fn strategies() -> Vec<Strategy> {
    let part = shard(1);
    vec![
        Strategy::new(&[R, R], &[], &[R]),
        Strategy::new(&[part, R], &[], &[part]).sequence(),
    ]
}

/// Whole, or each rank the rows of its part of the sequence: then the table's gradient is a partial sum.
pub fn backward_strategies() -> Vec<Strategy> {
    vec![
        Strategy::new(&[R], &[R], &[]),
        Strategy::new(&[shard(1)], &[P], &[]).sequence(),
    ]
}
