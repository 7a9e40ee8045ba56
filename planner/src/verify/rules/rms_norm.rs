//! RMSNorm: rows may be spread, columns may not. Backward is linear in the gradient it gets.

use super::Site;
use crate::verify::held::{Item, State};
use crate::verify::number::Number;

/// `(x, weight) -> (y, rstd)`.
pub fn forward(operands: [&Item; 2], eps: f64, site: &Site) -> [Item; 2] {
    let [x, weight] = operands.map(|operand| operand.number);
    let eps = [eps.to_bits()];
    let numbers = [
        Number::of("rms norm", &eps, &[x, weight]),
        Number::of("row rms", &eps, &[x]),
    ];
    site.results(operands, numbers, |_, states| match states {
        [x @ (State::Whole | State::Shard(0 | 1)), State::Whole] => Some([x; 2]),
        _ => None,
    })
}

/// `(dy, x, weight, rstd) -> dx`, and what the weight's gradient gains.
pub fn backward(operands: [&Item; 4], site: &Site) -> [Item; 2] {
    let [dy, x, weight, rstd] = operands.map(|operand| operand.number);
    let numbers = [
        Number::of("rms norm gradient", &[], &[dy, x, weight, rstd]),
        Number::of("rms norm weight gradient", &[], &[dy, x, rstd]),
    ];
    site.results(operands, numbers, |_, [dy, x, weight, rstd]| {
        match (dy, x) {
            _ if weight != State::Whole || rstd != x => None,
            (State::Whole | State::Sum, State::Whole) => Some([dy; 2]),
            (State::Shard(dim @ (0 | 1)), State::Shard(same)) if dim == same => {
                Some([dy, State::Sum])
            }
            _ => None,
        }
    })
}
