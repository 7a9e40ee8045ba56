//! The norm of queries and keys: sequences, positions and heads are independent of each other. Backward is linear in the gradient.

use pleach_plan::HeadNorm;

use super::Site;
use crate::verify::held::{Item, State};
use crate::verify::number::Number;

fn attributes(norm: &HeadNorm) -> [u64; 3] {
    [norm.head_dim, norm.group, norm.eps.to_bits()]
}

/// `(qkv, q_weight, k_weight) -> (y, rstd)`.
pub fn forward(operands: [&Item; 3], norm: &HeadNorm, site: &Site) -> [Item; 2] {
    let [x, queries, keys] = operands.map(|operand| operand.number);
    let how = attributes(norm);
    let numbers = [
        Number::of("head norm", &how, &[x, queries, keys]),
        Number::of("head rms", &how, &[x]),
    ];
    site.results(operands, numbers, |_, states| match states {
        [
            x @ (State::Whole | State::Shard(_)),
            State::Whole,
            State::Whole,
        ] => Some([x; 2]),
        _ => None,
    })
}

/// `(dy, qkv, q_weight, k_weight, rstd) -> dqkv`, and what the weights' gradients gain.
pub fn backward(operands: [&Item; 5], norm: &HeadNorm, site: &Site) -> [Item; 3] {
    let [dy, x, queries, keys, rstd] = operands.map(|operand| operand.number);
    let how = &attributes(norm)[..2];
    let numbers = [
        Number::of("head norm gradient", how, &[dy, x, queries, keys, rstd]),
        Number::of("query weight gradient", how, &[dy, x, rstd]),
        Number::of("key weight gradient", how, &[dy, x, rstd]),
    ];
    site.results(
        operands,
        numbers,
        |_, [dy, x, queries, keys, rstd]| match (dy, x) {
            _ if queries != State::Whole || keys != State::Whole || rstd != x => None,
            (State::Whole | State::Sum, State::Whole) => Some([dy; 3]),
            (State::Shard(dim), State::Shard(same)) if dim == same => {
                Some([dy, State::Sum, State::Sum])
            }
            _ => None,
        },
    )
}
