//! The weighted sum of a token's rows: linear in the rows and in the weights.

use super::Site;
use crate::verify::held::{Item, State};
use crate::verify::number::Number;

/// `(rows, weights, choice) -> y`.
pub fn forward(operands: [&Item; 3], site: &Site) -> [Item; 1] {
    let number = Number::of("combine", &[], &operands.map(|item| item.number));
    site.results(operands, [number], |_, states| match states {
        [
            rows @ (State::Whole | State::Sum | State::Shard(2)),
            State::Whole,
            State::Whole,
        ] => Some([rows]),
        [State::Whole, State::Sum, State::Whole] => Some([State::Sum]),
        [State::Shard(0), State::Shard(0), State::Shard(0)] => Some([State::Shard(0)]),
        _ => None,
    })
}

/// `(dy, rows, weights, choice) -> (drows, dweights)`.
pub fn backward(operands: [&Item; 4], site: &Site) -> [Item; 2] {
    let [dy, rows, weights, choice] = operands.map(|item| item.number);
    let numbers = [
        Number::of("combine row gradient", &[], &[dy, weights, choice]),
        Number::of("combine weight gradient", &[], &[dy, rows, choice]),
    ];
    site.results(operands, numbers, |_, states| match states {
        [
            dy @ (State::Whole | State::Sum),
            State::Whole,
            State::Whole,
            State::Whole,
        ] => Some([dy; 2]),
        [State::Whole, State::Sum, State::Whole, State::Whole] => Some([State::Whole, State::Sum]),
        [State::Shard(2), State::Shard(2), State::Whole, State::Whole] => {
            Some([State::Shard(2), State::Sum])
        }
        [
            State::Shard(0),
            State::Shard(0),
            State::Shard(0),
            State::Shard(0),
        ] => Some([State::Shard(0); 2]),
        _ => None,
    })
}
