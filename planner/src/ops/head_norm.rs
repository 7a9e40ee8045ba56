//! The norm of queries and keys: heads are independent of each other, their weights are shared by all.

use pleach_plan::Op;

use crate::differentiate::Tape;
use crate::graph::Node;
use crate::shard::strategy::{P, R, Strategy, shard};

/// Gradients of columns and weights in one operation, from the columns and the saved statistic.
pub fn derivative(node: &Node, tape: &mut Tape) {
    let Op::HeadNorm(norm) = node.op else { return };
    if let Some(dy) = tape.gradient(node.outs[0]) {
        let (x, queries, keys) = (node.ins[0], node.ins[1], node.ins[2]);
        let ins = [dy, x, queries, keys, node.outs[1]];
        tape.back_all(Op::HeadNormBackward(norm), &ins, &[queries, keys], &[x]);
    }
}

/// Whole, or heads split.
pub fn strategies() -> Vec<Strategy> {
    let heads = shard(2);
    vec![
        Strategy::new(&[R; 3], &[], &[R; 2]),
        Strategy::new(&[heads, R, R], &[], &[heads; 2]),
    ]
}

/// Whole, or heads split: then the weights' gradients are partial sums.
pub fn backward_strategies() -> Vec<Strategy> {
    let heads = shard(2);
    vec![
        Strategy::new(&[R; 5], &[R; 2], &[R]),
        Strategy::new(&[heads, heads, R, R, heads], &[P; 2], &[heads]),
    ]
}
