//! The soft limit: entry by entry, so sums over ranks must be finished first; backward is linear in the gradient it gets.

use super::Site;
use crate::verify::held::{Item, State};
use crate::verify::number::Number;

/// `(x) -> y`.
pub fn forward(x: &Item, limit: f64, site: &Site) -> [Item; 1] {
    let number = Number::of("capped", &[limit.to_bits()], &[x.number]);
    site.results([x], [number], |_, [x]| match x {
        State::Whole | State::Shard(_) => Some([x]),
        _ => None,
    })
}

/// `(dy, y) -> dx`.
pub fn backward(dy: &Item, y: &Item, limit: f64, site: &Site) -> [Item; 1] {
    let operands = [dy.number, y.number];
    let number = Number::of("capped gradient", &[limit.to_bits()], &operands);
    site.results([dy, y], [number], |_, states| match states {
        [State::Whole | State::Sum, State::Whole] => Some([states[0]]),
        [State::Shard(dim), State::Shard(same)] if dim == same => Some([states[0]]),
        _ => None,
    })
}
