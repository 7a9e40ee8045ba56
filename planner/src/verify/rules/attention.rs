//! Attention: sequences and heads are independent of each other; backward is linear in the gradient it gets.

use super::Site;
use crate::verify::held::{Item, State};
use crate::verify::number::Number;

/// `(q, k, v) -> (o, lse)`.
pub fn forward(operands: [&Item; 3], site: &Site) -> [Item; 2] {
    let [q, k, v] = operands.map(|operand| operand.number);
    let numbers = [
        Number::of("attention", &[], &[q, k, v]),
        Number::of("attention lse", &[], &[q, k]),
    ];
    site.results(operands, numbers, |_, [q, k, v]| match q {
        _ if k != q || v != q => None,
        State::Whole | State::Shard(0) => Some([q; 2]),
        State::Shard(1) => Some([State::Shard(2), State::Shard(1)]),
        _ => None,
    })
}

/// `(do, q, k, v, o, lse) -> (dq, dk, dv)`.
pub fn backward(operands: [&Item; 6], site: &Site) -> [Item; 3] {
    let [grad, q, k, v, out, lse] = operands.map(|operand| operand.number);
    let all = [grad, q, k, v, out, lse];
    let numbers = [
        Number::of("query gradient", &[], &all),
        Number::of("key gradient", &[], &all),
        Number::of("value gradient", &[], &[grad, q, k, lse]),
    ];
    site.results(operands, numbers, |_, [grad, q, k, v, out, lse]| {
        match (grad, q) {
            _ if k != q || v != q || lse != q => None,
            (State::Whole | State::Sum, State::Whole) if out == State::Whole => Some([grad; 3]),
            (State::Shard(0), State::Shard(0)) if out == State::Shard(0) => Some([q; 3]),
            (State::Shard(2), State::Shard(1)) if out == State::Shard(2) => Some([q; 3]),
            _ => None,
        }
    })
}
