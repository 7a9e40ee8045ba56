//! The soft limit, entry by entry.

use pleach_plan::Op;

use crate::differentiate::Tape;
use crate::graph::Node;
use crate::shard::strategy::{R, Strategy, shard};

/// From the saved result.
pub fn derivative(node: &Node, tape: &mut Tape) {
    let Op::Cap { limit } = node.op else { return };
    if let Some(dy) = tape.gradient(node.outs[0]) {
        let op = Op::CapBackward { limit };
        tape.back(op, &[dy, node.outs[0]], node.ins[0]);
    }
}

/// Any layout that is not partial, the same for all operands.
pub fn strategies(inputs: usize) -> Vec<Strategy> {
    let all = |layout| Strategy::new(&vec![layout; inputs], &[], &[layout]);
    vec![all(R), all(shard(2)), all(shard(1)).sequence()]
}
