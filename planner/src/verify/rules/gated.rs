//! The gated product: entry by entry, so any dimension may be spread; sums over ranks must be finished first, but for the
//! operand that only scales.

use pleach_plan::Activation;

use super::Site;
use crate::verify::held::{Item, State};
use crate::verify::number::Number;

/// `(gate, up) -> y`.
pub fn forward(kind: Activation, gate: &Item, up: &Item, site: &Site) -> [Item; 1] {
    let number = Number::of("gated", &[kind as u64], &[gate.number, up.number]);
    site.results([gate, up], [number], |_, states| match states {
        [State::Whole, up @ (State::Whole | State::Sum)] => Some([up]),
        [gate @ State::Shard(_), up] if gate == up => Some([gate]),
        _ => None,
    })
}

/// `(dy, gate, up) -> (dgate, dup)`.
pub fn backward(kind: Activation, operands: [&Item; 3], site: &Site) -> [Item; 2] {
    let [dy, gate, up] = operands.map(|operand| operand.number);
    let numbers = [
        Number::of("gate gradient", &[kind as u64], &[dy, gate, up]),
        // What scales `up` scales its gradient too.
        Number::of("gated", &[kind as u64], &[gate, dy]),
    ];
    site.results(operands, numbers, |_, states| match states {
        [dy @ (State::Whole | State::Sum), State::Whole, State::Whole] => Some([dy; 2]),
        [dy @ State::Shard(_), gate, up] if gate == dy && up == dy => Some([dy; 2]),
        _ => None,
    })
}
