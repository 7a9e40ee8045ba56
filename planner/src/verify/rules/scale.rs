//! The product with a number: linear, so that sums over ranks stay sums.

use super::Site;
use crate::verify::held::{Item, State};
use crate::verify::number::Number;

/// `(x) -> y`.
pub fn scale(x: &Item, by: f64, site: &Site) -> [Item; 1] {
    let number = Number::of("scaled", &[by.to_bits()], &[x.number]);
    site.results([x], [number], |_, [x]| match x {
        State::Whole | State::Sum | State::Shard(_) => Some([x]),
        _ => None,
    })
}
