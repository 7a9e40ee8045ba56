//! Sending tokens to experts: a copy of rows within each sequence, linear in what is copied.

use super::Site;
use crate::verify::held::{Item, State};
use crate::verify::number::Number;

/// `(x, choice) -> rows`.
pub fn forward(x: &Item, choice: &Item, site: &Site) -> [Item; 1] {
    moved("dispatch", x, choice, site)
}

/// `(drows, choice) -> dx`.
pub fn backward(drows: &Item, choice: &Item, site: &Site) -> [Item; 1] {
    moved("dispatch gradient", drows, choice, site)
}

fn moved(name: &str, x: &Item, choice: &Item, site: &Site) -> [Item; 1] {
    let number = Number::of(name, &[], &[x.number, choice.number]);
    site.results([x, choice], [number], |_, states| match states {
        [
            x @ (State::Whole | State::Sum | State::Shard(2)),
            State::Whole,
        ] => Some([x]),
        [State::Shard(0), State::Shard(0)] => Some([State::Shard(0)]),
        _ => None,
    })
}
