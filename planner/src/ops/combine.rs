//! The weighted sum of what a token's experts gave: linear in the rows, so ranks may add up afterwards.

use pleach_plan::Op;

use crate::differentiate::Tape;
use crate::graph::Node;
use crate::shard::strategy::{P, R, Strategy};

/// From rows, weights and choice.
pub fn derivative(node: &Node, tape: &mut Tape) {
    if let Some(dy) = tape.gradient(node.outs[0]) {
        let [rows, weights, choice] = [0, 1, 2].map(|index| node.ins[index]);
        let ins = [dy, rows, weights, choice];
        tape.back_all(Op::CombineBackward {}, &ins, &[], &[rows, weights]);
    }
}

/// Whole, or partial sums.
pub fn strategies() -> Vec<Strategy> {
    vec![
        Strategy::new(&[R; 3], &[], &[R]),
        Strategy::new(&[P, R, R], &[], &[P]),
    ]
}

/// Whole, or from partial sums of the rows partial sums of the weights' gradients.
pub fn backward_strategies() -> Vec<Strategy> {
    vec![
        Strategy::new(&[R; 4], &[], &[R; 2]),
        Strategy::new(&[R, P, R, R], &[], &[R, P]),
    ]
}
