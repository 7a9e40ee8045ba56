//! Dropout: which entries become zero is a function of the micro-batch, the site and logical indices, so ranks with parts of the
//! sequence must know which. Once that is known it is linear: sums over ranks stay sums.

use pleach_plan::Axis;

use super::Site;
use crate::verify::held::{Item, State};
use crate::verify::number::Number;

/// `(x) -> y`.
pub fn dropout(x: &Item, [share, which]: [u64; 2], over: Option<Axis>, site: &Site) -> [Item; 1] {
    let drawn = [share, which, u64::from(site.micro_batch)];
    let number = Number::of("dropped", &drawn, &[x.number]);
    let parts = over.and_then(|axis| site.axis(axis));
    site.results([x], [number], |axis, [x]| match (x, parts == Some(axis)) {
        (State::Shard(1), true) => Some([x]),
        (State::Whole | State::Sum | State::Shard(0), false) => Some([x]),
        _ => None,
    })
}
