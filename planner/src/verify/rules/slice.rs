//! A slice: what was whole is spread afterwards.

use pleach_plan::Axis;

use super::Site;
use crate::verify::held::{Item, State};

/// `(x) -> y`.
pub fn slice(x: &Item, over: Axis, dim: usize, site: &Site) -> [Item; 1] {
    let own = site.axis(over);
    let spread = |axis: usize| site.sizes.ranks[axis] > 1 && x.states[axis] == State::Shard(dim);
    let twice = own.is_some_and(|own| spread(1 - own));
    site.results([x], [x.number], |axis, [x]| match (x, own == Some(axis)) {
        _ if twice => None,
        (State::Whole, true) => Some([State::Shard(dim)]),
        (x, false) => Some([x]),
        _ => None,
    })
}
