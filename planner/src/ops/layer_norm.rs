//! Layer norm over the last dimension, with a weight and perhaps a bias.

use pleach_plan::Op;

use crate::differentiate::Tape;
use crate::graph::Node;
use crate::shard::strategy::{P, R, Strategy, shard};

/// Gradients of the input and of the parameters in one operation, from the input and its saved statistics.
pub fn derivative(node: &Node, tape: &mut Tape) {
    if let Some(dy) = tape.gradient(node.outs[0]) {
        let (x, parameters) = (node.ins[0], &node.ins[1..]);
        let ins = [dy, x, parameters[0], node.outs[1], node.outs[2]];
        tape.back_all(Op::LayerNormBackward {}, &ins, parameters, &[x]);
    }
}

/// Whole, or each rank its part of the sequence; of so many parameters.
pub fn strategies(parameters: usize) -> Vec<Strategy> {
    let part = shard(1);
    let ins = |x| [&[x][..], &vec![R; parameters]].concat();
    vec![
        Strategy::new(&ins(R), &[], &[R, R, R]),
        Strategy::new(&ins(part), &[], &[part, part, part]).sequence(),
    ]
}

/// Whole, or each rank its part of the sequence: then parameter gradients are partial sums.
pub fn backward_strategies(parameters: usize) -> Vec<Strategy> {
    let part = shard(1);
    vec![
        Strategy::new(&[R, R, R, R, R], &vec![R; parameters], &[R]),
        Strategy::new(&[part, part, R, part, part], &vec![P; parameters], &[part]).sequence(),
    ]
}
