//! Columns in three groups, which need not be as many as ranks divide.

use pleach_plan::Op;

use crate::differentiate::Tape;
use crate::graph::Node;
use crate::shard::strategy::{P, R, Strategy};

/// The gradients joined.
pub fn derivative(node: &Node, tape: &mut Tape) {
    let Op::Columns { widths } = node.op else {
        return;
    };
    let gradients: Option<Vec<_>> = node.outs.iter().map(|&out| tape.gradient(out)).collect();
    if let Some(gradients) = gradients {
        tape.back(Op::ColumnsBackward { widths }, &gradients, node.ins[0]);
    }
}

/// Whole, or partial sums.
pub fn strategies() -> Vec<Strategy> {
    vec![
        Strategy::new(&[R], &[], &[R; 3]),
        Strategy::new(&[P], &[], &[P; 3]),
    ]
}

/// Whole, or partial sums.
pub fn backward_strategies() -> Vec<Strategy> {
    vec![
        Strategy::new(&[R; 3], &[], &[R]),
        Strategy::new(&[P; 3], &[], &[P]),
    ]
}
