//! Sending tokens to experts: rows are copied, and their gradients added.

use pleach_plan::Op;

use crate::differentiate::Tape;
use crate::graph::Node;
use crate::shard::strategy::{P, R, Strategy};

/// The sum over a token's rows.
pub fn derivative(node: &Node, tape: &mut Tape) {
    if let Some(drows) = tape.gradient(node.outs[0]) {
        let (x, choice) = (node.ins[0], node.ins[1]);
        tape.back(Op::DispatchBackward {}, &[drows, choice], x);
    }
}

/// Whole: sorted rows come from all over the sequence.
pub fn strategies() -> Vec<Strategy> {
    vec![Strategy::new(&[R; 2], &[], &[R])]
}

/// Whole, or partial sums.
pub fn backward_strategies() -> Vec<Strategy> {
    vec![
        Strategy::new(&[R; 2], &[], &[R]),
        Strategy::new(&[P, R], &[], &[P]),
    ]
}
