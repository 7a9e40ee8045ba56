//! The gated product of a feed-forward half: a nonlinearity of one operand times the other, entry by entry.

use pleach_plan::Op;

use crate::differentiate::Tape;
use crate::graph::Node;
use crate::shard::strategy::{R, Strategy, shard};

/// From both saved operands; what the nonlinearity gave is computed again and never saved.
pub fn derivative(node: &Node, tape: &mut Tape) {
    let Op::Gated { kind } = node.op else { return };
    if let Some(dy) = tape.gradient(node.outs[0]) {
        let (gate, up) = (node.ins[0], node.ins[1]);
        let op = Op::GatedBackward { kind };
        tape.back_all(op, &[dy, gate, up], &[], &[gate, up]);
    }
}

/// Any layout that is not partial, the same for all operands.
pub fn strategies(inputs: usize, outputs: usize) -> Vec<Strategy> {
    let all = |layout| Strategy::new(&vec![layout; inputs], &[], &vec![layout; outputs]);
    vec![all(R), all(shard(2)), all(shard(1)).sequence()]
}
