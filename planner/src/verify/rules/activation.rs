//! Nonlinearities: entry by entry, so any dimension may be spread, but sums over ranks must be finished first.

use pleach_plan::Activation;

use super::Site;
use crate::verify::held::{Item, State};
use crate::verify::number::Number;

/// `(x) -> y`.
pub fn forward(kind: Activation, x: &Item, site: &Site) -> [Item; 1] {
    site.results(
        [x],
        [Number::of("activation", &[kind as u64], &[x.number])],
        |_, [x]| match x {
            State::Whole | State::Shard(_) => Some([x]),
            _ => None,
        },
    )
}

/// `(dy, x) -> dx`.
pub fn backward(kind: Activation, dy: &Item, x: &Item, site: &Site) -> [Item; 1] {
    let number = Number::of(
        "activation gradient",
        &[kind as u64],
        &[dy.number, x.number],
    );
    site.results([dy, x], [number], |_, states| match states {
        [State::Whole | State::Sum, State::Whole] => Some([states[0]]),
        [State::Shard(dim), State::Shard(same)] if dim == same => Some([states[0]]),
        _ => None,
    })
}
