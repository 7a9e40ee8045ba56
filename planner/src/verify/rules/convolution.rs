//! The short convolution: sequences and channels are independent of each other.

use super::Site;
use crate::verify::held::{Item, State};
use crate::verify::number::Number;

/// `(x, weight) -> y`.
pub fn forward(x: &Item, weight: &Item, site: &Site) -> [Item; 1] {
    let number = Number::of("convolution", &[], &[x.number, weight.number]);
    site.results([x, weight], [number], |_, states| match states {
        [
            x @ (State::Whole | State::Sum | State::Shard(0)),
            State::Whole,
        ] => Some([x]),
        [State::Shard(2), State::Shard(0)] => Some([State::Shard(2)]),
        _ => None,
    })
}

/// `(dy, x, weight) -> dx`, and what the weight's gradient gains.
pub fn backward(operands: [&Item; 3], site: &Site) -> [Item; 2] {
    let [dy, x, weight] = operands.map(|operand| operand.number);
    let numbers = [
        Number::of("convolution input gradient", &[], &[dy, weight]),
        Number::of("convolution weight gradient", &[], &[dy, x]),
    ];
    site.results(operands, numbers, |_, states| match states {
        [dy @ (State::Whole | State::Sum), State::Whole, State::Whole] => Some([dy; 2]),
        [State::Shard(0), State::Shard(0), State::Whole] => Some([State::Shard(0), State::Sum]),
        [State::Shard(2), State::Shard(2), State::Shard(0)] => {
            Some([State::Shard(2), State::Shard(0)])
        }
        _ => None,
    })
}
