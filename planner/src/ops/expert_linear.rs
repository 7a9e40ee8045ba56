//! Products of rows with their experts' matrices: each expert is split as a dense half's matrices are.

use pleach_plan::Op;

use crate::differentiate::Tape;
use crate::graph::Node;
use crate::shard::strategy::{P, R, Strategy, shard};

/// `drows = dy W` and `dW += dyᵀ rows`, for each expert.
pub fn derivative(node: &Node, tape: &mut Tape) {
    if let Some(dy) = tape.gradient(node.outs[0]) {
        let [rows, weight, choice] = [0, 1, 2].map(|index| node.ins[index]);
        let op = Op::ExpertLinearBackwardInput {};
        tape.back(op, &[dy, weight, choice], rows);
        let op = Op::ExpertLinearBackwardWeight {};
        tape.back_all(op, &[dy, rows, choice], &[weight], &[]);
    }
}

/// Whole; outputs split; inputs split, giving partial sums.
pub fn strategies() -> Vec<Strategy> {
    vec![
        Strategy::new(&[R; 3], &[], &[R]),
        Strategy::new(&[R, shard(1), R], &[], &[shard(2)]),
        Strategy::new(&[shard(2), shard(2), R], &[], &[P]),
    ]
}

/// The same three, turned round.
pub fn backward_input_strategies() -> Vec<Strategy> {
    vec![
        Strategy::new(&[R; 3], &[], &[R]),
        Strategy::new(&[shard(2), shard(1), R], &[], &[P]),
        Strategy::new(&[R, shard(2), R], &[], &[shard(2)]),
    ]
}

/// The same three for the matrices' gradients.
pub fn backward_weight_strategies() -> Vec<Strategy> {
    vec![
        Strategy::new(&[R; 3], &[R], &[]),
        Strategy::new(&[shard(2), R, R], &[shard(1)], &[]),
        Strategy::new(&[R, shard(2), R], &[shard(2)], &[]),
    ]
}
