//! Sums of tensors of one shape.

use crate::differentiate::Tape;
use crate::graph::{Block, Node};
use crate::shard::strategy::{P, R, Strategy, shard};

/// Every term has the sum's gradient.
pub fn derivative(node: &Node, tape: &mut Tape) {
    if let Some(dy) = tape.gradient(node.outs[0]) {
        for &term in &node.ins {
            tape.contribute(term, dy);
        }
    }
}

/// Any layout, the same for all operands: sums of partial sums are partial sums.
pub fn strategies(node: &Node, block: &Block) -> Vec<Strategy> {
    let all = |layout| Strategy::new(&vec![layout; node.ins.len()], &[], &[layout]);
    let mut found = vec![all(R), all(P)];
    if block.value(node.outs[0]).dims.len() == 3 {
        found.extend([all(shard(2)), all(shard(1)).sequence()]);
    }
    found
}
