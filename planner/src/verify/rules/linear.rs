//! The matrix product: outputs, inputs or rows may be spread; what sums over a spread dimension is a sum over ranks.

use super::Site;
use crate::verify::held::{Item, State};
use crate::verify::number::Number;

/// `(x, weight) -> y`, without a bias.
pub fn forward(x: &Item, weight: &Item, site: &Site) -> [Item; 1] {
    let number = Number::of("linear", &[], &[x.number, weight.number]);
    site.results([x, weight], [number], |_, states| match states {
        [
            x @ (State::Whole | State::Sum | State::Shard(0 | 1)),
            State::Whole,
        ] => Some([x]),
        [State::Whole, State::Shard(0)] => Some([State::Shard(2)]),
        [State::Shard(2), State::Shard(1)] => Some([State::Sum]),
        _ => None,
    })
}

/// `(dy, weight) -> dx`.
pub fn backward_input(dy: &Item, weight: &Item, site: &Site) -> [Item; 1] {
    let number = Number::of("linear input gradient", &[], &[dy.number, weight.number]);
    site.results([dy, weight], [number], |_, states| match states {
        [
            dy @ (State::Whole | State::Sum | State::Shard(0 | 1)),
            State::Whole,
        ] => Some([dy]),
        [State::Whole, State::Shard(1)] => Some([State::Shard(2)]),
        [State::Shard(2), State::Shard(0)] => Some([State::Sum]),
        _ => None,
    })
}

/// What the weight's gradient gains from `(dy, x)`.
pub fn backward_weight(dy: &Item, x: &Item, site: &Site) -> Item {
    let number = Number::of("linear weight gradient", &[], &[dy.number, x.number]);
    let [gain] = site.results([dy, x], [number], |_, states| match states {
        [State::Whole, State::Whole] => Some([State::Whole]),
        [State::Sum, State::Whole] | [State::Whole, State::Sum] => Some([State::Sum]),
        [State::Shard(0), State::Shard(0)] | [State::Shard(1), State::Shard(1)] => {
            Some([State::Sum])
        }
        [State::Shard(2), State::Whole] => Some([State::Shard(0)]),
        [State::Whole, State::Shard(2)] => Some([State::Shard(1)]),
        _ => None,
    });
    gain
}
