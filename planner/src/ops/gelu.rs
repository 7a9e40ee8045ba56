//! GELU, element by element.

use pleach_plan::Op;

use crate::differentiate::Tape;
use crate::graph::Node;
use crate::shard::strategy::{R, Strategy, shard};

/// From the saved input.
pub fn derivative(node: &Node, tape: &mut Tape) {
    if let Some(dy) = tape.gradient(node.outs[0]) {
        tape.back(Op::GeluBackward {}, &[dy, node.ins[0]], node.ins[0]);
    }
}

/// Any layout that is not partial, the same for all operands.
pub fn strategies(inputs: usize) -> Vec<Strategy> {
    let all = |layout| Strategy::new(&vec![layout; inputs], &[], &[layout]);
    vec![all(R), all(shard(2)), all(shard(1)).sequence()]
}
