//! The bias: a sum with a row that is the same everywhere. Added to a sum over ranks, it counts once for each of them.

use super::Site;
use crate::verify::held::{Item, State};
use crate::verify::number::Number;

/// `(x, bias) -> y`.
pub fn forward(x: &Item, bias: &Item, site: &Site) -> Item {
    let rows = Number::of("rows", &[], &[bias.number]);
    let [rows] = site.results([x, bias], [rows], |_, states| match states {
        [State::Whole | State::Sum, State::Whole] => Some([State::Whole]),
        [x @ State::Shard(0 | 1), State::Whole] => Some([x]),
        [x @ State::Shard(2), State::Shard(0)] => Some([x]),
        _ => None,
    });
    x.plus(rows, site.sizes)
}

/// What the bias's gradient gains from `dy`.
pub fn backward(dy: &Item, site: &Site) -> Item {
    let [gain] = site.results(
        [dy],
        [Number::of("column sums", &[], &[dy.number])],
        |_, [dy]| match dy {
            State::Whole => Some([State::Whole]),
            State::Sum | State::Shard(0 | 1) => Some([State::Sum]),
            State::Shard(2) => Some([State::Shard(0)]),
            _ => None,
        },
    );
    gain
}
