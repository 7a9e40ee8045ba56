//! Causal attention: heads are independent of each other.

use pleach_plan::Op;

use crate::differentiate::Tape;
use crate::graph::Node;
use crate::shard::strategy::{R, Strategy, shard};

/// From queries, keys, values, the output and the saved log-sum-exp.
pub fn derivative(node: &Node, tape: &mut Tape) {
    let Op::Attention(scores) = node.op else {
        return;
    };
    if let Some(dy) = tape.gradient(node.outs[0]) {
        let (q, k, v) = (node.ins[0], node.ins[1], node.ins[2]);
        let ins = [dy, q, k, v, node.outs[0], node.outs[1]];
        tape.back_all(Op::AttentionBackward(scores), &ins, &[], &[q, k, v]);
    }
}

/// Whole, or heads split.
pub fn strategies() -> Vec<Strategy> {
    vec![
        Strategy::new(&[R; 3], &[], &[R; 2]),
        Strategy::new(&[shard(1); 3], &[], &[shard(2), shard(1)]),
    ]
}

/// Whole, or heads split.
pub fn backward_strategies() -> Vec<Strategy> {
    let heads = shard(1);
    vec![
        Strategy::new(&[R; 6], &[], &[R; 3]),
        Strategy::new(
            &[shard(2), heads, heads, heads, shard(2), heads],
            &[],
            &[heads; 3],
        ),
    ]
}
