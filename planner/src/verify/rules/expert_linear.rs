//! Products of rows with their experts' matrices: outputs, inputs or sequences may be spread, but not the rows of a sequence.

use super::Site;
use crate::verify::held::{Item, State};
use crate::verify::number::Number;

/// `(rows, weight, choice) -> y`.
pub fn forward(operands: [&Item; 3], site: &Site) -> [Item; 1] {
    let number = Number::of("expert linear", &[], &operands.map(|item| item.number));
    product(operands, number, [1, 2], site)
}

/// `(dy, weight, choice) -> drows`.
pub fn backward_input(operands: [&Item; 3], site: &Site) -> [Item; 1] {
    let numbers = operands.map(|item| item.number);
    let number = Number::of("expert linear input gradient", &[], &numbers);
    product(operands, number, [2, 1], site)
}

/// A product in which one dimension of the matrices is kept and the other summed over.
fn product(
    operands: [&Item; 3],
    number: Number,
    [kept, summed]: [usize; 2],
    site: &Site,
) -> [Item; 1] {
    site.results(operands, [number], |_, states| match states {
        [x @ (State::Whole | State::Sum), State::Whole, State::Whole] => Some([x]),
        [State::Shard(0), State::Whole, State::Shard(0)] => Some([State::Shard(0)]),
        [State::Whole, State::Shard(dim), State::Whole] if dim == kept => Some([State::Shard(2)]),
        [State::Shard(2), State::Shard(dim), State::Whole] if dim == summed => Some([State::Sum]),
        _ => None,
    })
}

/// What the matrices' gradients gain from `(dy, rows, choice)`.
pub fn backward_weight(operands: [&Item; 3], site: &Site) -> Item {
    let numbers = operands.map(|item| item.number);
    let number = Number::of("expert linear weight gradient", &[], &numbers);
    let [gain] = site.results(operands, [number], |_, states| match states {
        [State::Whole, State::Whole, State::Whole] => Some([State::Whole]),
        [State::Sum, State::Whole, State::Whole] | [State::Whole, State::Sum, State::Whole] => {
            Some([State::Sum])
        }
        [State::Shard(0), State::Shard(0), State::Shard(0)] => Some([State::Sum]),
        [State::Shard(2), State::Whole, State::Whole] => Some([State::Shard(1)]),
        [State::Whole, State::Shard(2), State::Whole] => Some([State::Shard(2)]),
        _ => None,
    });
    gain
}
