//! The selective scan: channels are independent of each other, and share what writes to and reads from their states.

use pleach_plan::Op;

use crate::differentiate::Tape;
use crate::graph::Node;
use crate::shard::strategy::{P, R, Strategy, shard};

/// Floating point operations of a scan for each number of state at each position (arXiv:2312.00752, appendix D); backward runs the recurrence again and
/// then twice as much.
pub const FLOPS: u64 = 9;

/// From what forward read; the states are computed again.
pub fn derivative(node: &Node, tape: &mut Tape) {
    if let Some(dy) = tape.gradient(node.outs[0]) {
        let [x, step, decay, write, read, skip] = [0, 1, 2, 3, 4, 5].map(|index| node.ins[index]);
        let ins = [dy, x, step, decay, write, read, skip];
        let of = [x, step, write, read];
        tape.back_all(Op::ScanBackward {}, &ins, &[decay, skip], &of);
    }
}

/// Whole, or channels split.
pub fn strategies() -> Vec<Strategy> {
    let (columns, rows) = (shard(2), shard(0));
    vec![
        Strategy::new(&[R; 6], &[], &[R]),
        Strategy::new(&[columns, columns, rows, R, R, rows], &[], &[columns]),
    ]
}

/// Whole, or channels split: then the gradients of what they share are partial sums.
pub fn backward_strategies() -> Vec<Strategy> {
    let (columns, rows) = (shard(2), shard(0));
    vec![
        Strategy::new(&[R; 7], &[R; 2], &[R; 4]),
        Strategy::new(
            &[columns, columns, columns, rows, R, R, rows],
            &[rows; 2],
            &[columns, columns, P, P],
        ),
    ]
}
