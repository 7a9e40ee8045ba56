//! Layer norm over the last dimension, with weight and bias.

use pleach_plan::Op;

use crate::differentiate::Tape;
use crate::graph::Node;
use crate::shard::strategy::{P, R, Strategy, shard};

/// Input, weight and bias gradients in one operation, from the input and its saved statistics.
pub fn derivative(node: &Node, tape: &mut Tape) {
    if let Some(dy) = tape.gradient(node.outs[0]) {
        let (x, weight, bias) = (node.ins[0], node.ins[1], node.ins[2]);
        let ins = [dy, x, weight, node.outs[1], node.outs[2]];
        tape.back_all(Op::LayerNormBackward {}, &ins, &[weight, bias], &[x]);
    }
}

/// Whole, or each rank its part of the sequence.
pub fn strategies() -> Vec<Strategy> {
    let part = shard(1);
    vec![
        Strategy::new(&[R, R, R], &[], &[R, R, R]),
        Strategy::new(&[part, R, R], &[], &[part, part, part]).sequence(),
    ]
}

/// Whole, or each rank its part of the sequence: then parameter gradients are partial sums.
pub fn backward_strategies() -> Vec<Strategy> {
    let part = shard(1);
    vec![
        Strategy::new(&[R, R, R, R, R], &[R, R], &[R]),
        Strategy::new(&[part, part, R, part, part], &[P, P], &[part]).sequence(),
    ]
}
