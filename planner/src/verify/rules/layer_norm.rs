//! Layer norm: rows may be spread, columns may not. Backward is linear in the gradient it gets.

use super::Site;
use crate::verify::held::{Item, State};
use crate::verify::number::Number;

/// `(x, weight, bias) -> (y, mean, rstd)`; a bias that is missing is the same as one of zeros.
pub fn forward([x, weight]: [&Item; 2], bias: Option<&Item>, eps: f64, site: &Site) -> [Item; 3] {
    let zero = Item::whole(Number::ZERO);
    let operands = [x, weight, bias.unwrap_or(&zero)];
    let [x, weight, bias] = operands.map(|operand| operand.number);
    let eps = [eps.to_bits()];
    let numbers = [
        Number::of("layer norm", &eps, &[x, weight, bias]),
        Number::of("row mean", &[], &[x]),
        Number::of("row rstd", &eps, &[x]),
    ];
    site.results(operands, numbers, |_, states| match states {
        [
            x @ (State::Whole | State::Shard(0 | 1)),
            State::Whole,
            State::Whole,
        ] => Some([x; 3]),
        _ => None,
    })
}

/// `(dy, x, weight, mean, rstd) -> dx`, and what the gradients of weight and bias gain.
pub fn backward(operands: [&Item; 5], site: &Site) -> [Item; 3] {
    let [dy, x, weight, mean, rstd] = operands.map(|operand| operand.number);
    let numbers = [
        Number::of("layer norm gradient", &[], &[dy, x, weight, mean, rstd]),
        Number::of("layer norm weight gradient", &[], &[dy, x, mean, rstd]),
        Number::of("column sums", &[], &[dy]),
    ];
    site.results(operands, numbers, |_, [dy, x, weight, mean, rstd]| {
        match (dy, x) {
            _ if weight != State::Whole || mean != x || rstd != x => None,
            (State::Whole, State::Whole) => Some([State::Whole; 3]),
            (State::Sum, State::Whole) => Some([State::Sum; 3]),
            (State::Shard(dim @ (0 | 1)), State::Shard(same)) if dim == same => {
                Some([dy, State::Sum, State::Sum])
            }
            _ => None,
        }
    })
}
