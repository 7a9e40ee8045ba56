//! Dropout: linear once it is known what is dropped, and that is known from logical indices alone. So backward is the same
//! operation, nothing is kept for it, and partial sums stay partial sums.

use pleach_plan::Op;

use crate::differentiate::Tape;
use crate::graph::Node;
use crate::shard::strategy::{P, R, Strategy, shard};

/// What forward dropped is dropped from the gradient.
pub fn derivative(node: &Node, tape: &mut Tape) {
    if let (Op::Dropout { .. }, Some(dy)) = (&node.op, tape.gradient(node.outs[0])) {
        tape.back(node.op.clone(), &[dy], node.ins[0]);
    }
}

/// Whole, a partial sum, or each rank its part of the sequence.
pub fn strategies() -> Vec<Strategy> {
    let all = |layout| Strategy::new(&[layout], &[], &[layout]);
    vec![all(R), all(P), all(shard(1)).sequence()]
}
