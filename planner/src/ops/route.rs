//! The router: tokens choose their experts by themselves, so every tensor-parallel rank chooses alike.

use pleach_plan::Op;

use crate::differentiate::Tape;
use crate::graph::Node;
use crate::shard::strategy::{P, R, Strategy};

/// From the logits and the choice, which is held fast: it changes in steps.
pub fn derivative(node: &Node, tape: &mut Tape) {
    let Op::Route(route) = node.op else { return };
    if let Some(dweights) = tape.gradient(node.outs[0]) {
        let (logits, choice) = (node.ins[0], node.outs[1]);
        tape.back(
            Op::RouteBackward(route),
            &[dweights, logits, choice],
            logits,
        );
    }
}

/// Whole only: ranks that chose otherwise could not add up what their experts gave.
pub fn strategies() -> Vec<Strategy> {
    vec![Strategy::new(&[R], &[], &[R; 2])]
}

/// Whole, or a partial sum of the weights' gradients.
pub fn backward_strategies() -> Vec<Strategy> {
    vec![
        Strategy::new(&[R; 3], &[], &[R]),
        Strategy::new(&[P, R, R], &[], &[P]),
    ]
}
