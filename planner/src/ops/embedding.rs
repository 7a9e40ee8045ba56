//! Embedding: rows of a table by id.

use pleach_plan::{Layout, Op};

use crate::differentiate::Tape;
use crate::graph::Node;
use crate::shard::strategy::{P, R, Strategy};

/// The table's gradient: rows of the output's gradient, added by id.
pub fn derivative(node: &Node, tape: &mut Tape) {
    if let Some(dy) = tape.gradient(node.outs[0]) {
        tape.back_all(
            Op::EmbeddingBackward { vocab: None },
            &[dy, node.ins[0]],
            &[node.ins[1]],
            &[],
        );
    }
}

/// Whole, or rows split: each rank looks up what it holds.
pub fn strategies() -> Vec<Strategy> {
    vec![
        Strategy::new(&[R, R], &[], &[R]),
        Strategy::new(&[R, Layout::Shard(0).into()], &[], &[P]),
    ]
}

/// Whole, or rows split.
pub fn backward_strategies() -> Vec<Strategy> {
    vec![
        Strategy::new(&[R, R], &[R], &[]),
        Strategy::new(&[R, R], &[Layout::Shard(0).into()], &[]),
    ]
}
