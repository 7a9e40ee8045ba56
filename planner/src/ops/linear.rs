//! Linear: a product with a `[out, in]` matrix. Input and weight gradients are operations of their own.

use pleach_plan::Op;

use crate::differentiate::Tape;
use crate::graph::Node;
use crate::shard::strategy::{P, R, Strategy, shard};

/// `dx = dy W` and `dW += dyᵀ x`.
pub fn derivative(node: &Node, tape: &mut Tape) {
    if let Some(dy) = tape.gradient(node.outs[0]) {
        let (x, weight) = (node.ins[0], node.ins[1]);
        tape.back(Op::LinearBackwardInput {}, &[dy, weight], x);
        tape.back_all(Op::LinearBackwardWeight {}, &[dy, x], &[weight], &[]);
    }
}

/// Whole; outputs split (rows of the matrix); inputs split (columns), giving partial sums.
pub fn strategies() -> Vec<Strategy> {
    vec![
        Strategy::new(&[R, R], &[], &[R]),
        Strategy::new(&[R, shard(0)], &[], &[shard(2)]),
        Strategy::new(&[shard(2), shard(1)], &[], &[P]),
    ]
}

/// The same three, turned round.
pub fn backward_input_strategies() -> Vec<Strategy> {
    vec![
        Strategy::new(&[R, R], &[], &[R]),
        Strategy::new(&[shard(2), shard(0)], &[], &[P]),
        Strategy::new(&[R, shard(1)], &[], &[shard(2)]),
    ]
}

/// The same three for the matrix's gradient.
pub fn backward_weight_strategies() -> Vec<Strategy> {
    vec![
        Strategy::new(&[R, R], &[R], &[]),
        Strategy::new(&[shard(2), R], &[shard(0)], &[]),
        Strategy::new(&[R, shard(2)], &[shard(1)], &[]),
    ]
}
