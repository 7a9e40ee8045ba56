//! Cross-entropy over a vocabulary that may be split: maximum, terms, loss, and the gradient of the logits.

use pleach_plan::Op;

use crate::differentiate::Tape;
use crate::graph::Node;
use crate::shard::strategy::{MAX, P, R, Strategy, shard};

/// The root of backward: the gradient of what is charged, from what forward read and made.
pub fn derivative(node: &Node, tape: &mut Tape) {
    let Op::CrossEntropyLoss { charge, .. } = node.op else {
        return;
    };
    let terms = node.ins[0];
    let weights = &node.ins[1 + usize::from(charge.is_squared())..];
    let producer = tape
        .block
        .producer(terms)
        .expect("the terms of a loss are made in its block");
    let [logits, targets, max] = tape.block.graph[producer].ins[..] else {
        return;
    };
    let ins = [&[logits, targets, max, terms][..], weights].concat();
    tape.back(
        Op::CrossEntropyBackward {
            charge,
            vocab: None,
        },
        &ins,
        logits,
    );
}

/// Whole, or rows split: then only the members' largest is the largest.
pub fn max_strategies() -> Vec<Strategy> {
    vec![
        Strategy::new(&[R], &[], &[R]),
        Strategy::new(&[shard(2)], &[], &[MAX]),
    ]
}

/// Whole, or rows split, giving partial sums.
pub fn terms_strategies() -> Vec<Strategy> {
    vec![
        Strategy::new(&[R; 3], &[], &[R]),
        Strategy::new(&[shard(2), R, R], &[], &[P]),
    ]
}

/// Every rank adds its share of the same loss.
pub fn loss_strategies(operands: usize) -> Vec<Strategy> {
    vec![Strategy::new(&[R; 3][..operands], &[P], &[])]
}

/// Whole, or rows split.
pub fn backward_strategies(operands: usize) -> Vec<Strategy> {
    let mut split = vec![R; operands];
    split[0] = shard(2);
    vec![
        Strategy::new(&vec![R; operands], &[], &[R]),
        Strategy::new(&split, &[], &[shard(2)]),
    ]
}
