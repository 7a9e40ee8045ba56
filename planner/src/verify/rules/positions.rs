//! Learned positions: each position adds its own row, so ranks with parts of the sequence must know which.

use pleach_plan::Axis;

use super::Site;
use crate::verify::held::{Item, State};
use crate::verify::number::Number;

/// `(x, table) -> y`.
pub fn forward(x: &Item, table: &Item, over: Option<Axis>, site: &Site) -> [Item; 1] {
    let number = Number::of("positions", &[], &[x.number, table.number]);
    let parts = over.and_then(|axis| site.axis(axis));
    site.results([x, table], [number], |axis, states| {
        match (states, parts == Some(axis)) {
            ([State::Shard(1), State::Whole], true) => Some([State::Shard(1)]),
            ([x @ (State::Whole | State::Shard(0)), State::Whole], false) => Some([x]),
            ([State::Shard(2), State::Shard(1)], false) => Some([State::Shard(2)]),
            _ => None,
        }
    })
}

/// What the table's gradient gains from `dy`.
pub fn backward(dy: &Item, over: Option<Axis>, site: &Site) -> Item {
    let number = Number::of("position sums", &[], &[dy.number]);
    let parts = over.and_then(|axis| site.axis(axis));
    let [gain] = site.results([dy], [number], |axis, [dy]| {
        match (dy, parts == Some(axis)) {
            (State::Shard(1), true) => Some([State::Sum]),
            (State::Whole, false) => Some([State::Whole]),
            (State::Sum | State::Shard(0), false) => Some([State::Sum]),
            (State::Shard(2), false) => Some([State::Shard(1)]),
            _ => None,
        }
    });
    gain
}
