//! The embedding: rows of the table may be spread over the ranks that an attribute names.

use pleach_plan::Axis;

use super::Site;
use crate::verify::held::{Item, State};
use crate::verify::number::Number;

/// `(ids, table) -> y`.
pub fn forward(ids: &Item, table: &Item, vocab: Option<Axis>, site: &Site) -> [Item; 1] {
    let number = Number::of("embedding", &[], &[ids.number, table.number]);
    let rows = vocab.and_then(|axis| site.axis(axis));
    site.results([ids, table], [number], |axis, states| {
        match (states, rows == Some(axis)) {
            ([State::Whole, State::Shard(0)], true) => Some([State::Sum]),
            ([State::Whole, State::Shard(1)], false) => Some([State::Shard(2)]),
            ([ids @ (State::Whole | State::Shard(0 | 1)), State::Whole], false) => Some([ids]),
            _ => None,
        }
    })
}

/// What the table's gradient gains from `(dy, ids)`.
pub fn backward(dy: &Item, ids: &Item, vocab: Option<Axis>, site: &Site) -> Item {
    let number = Number::of("embedding gradient", &[], &[dy.number, ids.number]);
    let rows = vocab.and_then(|axis| site.axis(axis));
    let [gain] = site.results([dy, ids], [number], |axis, states| {
        match (states, rows == Some(axis)) {
            ([State::Whole, State::Whole], true) => Some([State::Shard(0)]),
            ([State::Whole, State::Whole], false) => Some([State::Whole]),
            ([State::Shard(0), State::Shard(0)] | [State::Shard(1), State::Shard(1)], false) => {
                Some([State::Sum])
            }
            ([State::Shard(2), State::Whole], false) => Some([State::Shard(1)]),
            ([State::Sum, State::Whole], false) => Some([State::Sum]),
            _ => None,
        }
    });
    gain
}
