//! The product with a number.

use crate::differentiate::Tape;
use crate::graph::Node;
use crate::shard::strategy::{P, R, Strategy, shard};

/// The same product of the gradient.
pub fn derivative(node: &Node, tape: &mut Tape) {
    if let Some(dy) = tape.gradient(node.outs[0]) {
        tape.back(node.op.clone(), &[dy], node.ins[0]);
    }
}

/// Any layout: a partial sum stays one.
pub fn strategies() -> Vec<Strategy> {
    let all = |layout| Strategy::new(&[layout], &[], &[layout]);
    vec![all(R), all(P), all(shard(2)), all(shard(1)).sequence()]
}
