//! RMSNorm over the last dimension, with a weight.

use pleach_plan::Op;

use crate::differentiate::Tape;
use crate::graph::Node;
use crate::shard::strategy::{P, R, Strategy, shard};

/// Input and weight gradients in one operation, from the input and its saved statistic.
pub fn derivative(node: &Node, tape: &mut Tape) {
    if let Some(dy) = tape.gradient(node.outs[0]) {
        let (x, weight) = (node.ins[0], node.ins[1]);
        let ins = [dy, x, weight, node.outs[1]];
        tape.back_all(Op::RmsNormBackward {}, &ins, &[weight], &[x]);
    }
}

/// Whole, or each rank its part of the sequence.
pub fn strategies() -> Vec<Strategy> {
    let part = shard(1);
    vec![
        Strategy::new(&[R, R], &[], &[R, R]),
        Strategy::new(&[part, R], &[], &[part, part]).sequence(),
    ]
}

/// Whole, or each rank its part of the sequence: then the weight's gradient is a partial sum.
pub fn backward_strategies() -> Vec<Strategy> {
    let part = shard(1);
    vec![
        Strategy::new(&[R, R, R, R], &[R], &[R]),
        Strategy::new(&[part, part, R, part], &[P], &[part]).sequence(),
    ]
}
