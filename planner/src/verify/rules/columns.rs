//! Columns in groups: rows may be spread, columns not.

use super::Site;
use crate::verify::held::{Item, State};
use crate::verify::number::Number;

/// `(x) -> (a, b, c)`.
pub fn forward(x: &Item, widths: [u64; 3], site: &Site) -> [Item; 3] {
    let [a, b, c] = widths;
    let number = |group| Number::of("columns", &[a, b, c, group], &[x.number]);
    site.results([x], [0, 1, 2].map(number), |_, [x]| match x {
        State::Whole | State::Sum | State::Shard(0 | 1) => Some([x; 3]),
        _ => None,
    })
}

/// `(da, db, dc) -> dx`.
pub fn backward(parts: [&Item; 3], widths: [u64; 3], site: &Site) -> [Item; 1] {
    let number = Number::of("joined columns", &widths, &parts.map(|part| part.number));
    site.results(parts, [number], |_, [a, b, c]| match a {
        State::Whole | State::Sum | State::Shard(0 | 1) if b == a && c == a => Some([a]),
        _ => None,
    })
}
