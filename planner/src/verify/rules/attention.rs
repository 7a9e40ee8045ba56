//! Attention: sequences and heads are independent of each other; backward is linear in the gradient it gets.

use pleach_plan::Scores;

use super::Site;
use crate::verify::held::{Item, State};
use crate::verify::number::Number;

/// The attributes that say what is computed; the axis over which heads are spread only says where.
fn attributes(scores: &Scores) -> [u64; 3] {
    let heads = scores.alibi.map_or(0, |alibi| alibi.heads);
    [scores.group, scores.window.unwrap_or(0), heads]
}

/// Whether heads have their own slopes: those that are spread over an axis must be told apart along it, and no others.
fn told(scores: &Scores, site: &Site) -> impl Fn(usize, State) -> bool {
    let over = scores
        .alibi
        .map(|alibi| alibi.over.and_then(|axis| site.axis(axis)));
    move |axis, queries| {
        over.is_none_or(|over| (over == Some(axis)) == (queries == State::Shard(1)))
    }
}

/// `(q, k, v) -> (o, lse)`.
pub fn forward(operands: [&Item; 3], scores: &Scores, site: &Site) -> [Item; 2] {
    let [q, k, v] = operands.map(|operand| operand.number);
    let (how, told) = (attributes(scores), told(scores, site));
    let numbers = [
        Number::of("attention", &how, &[q, k, v]),
        Number::of("attention lse", &how, &[q, k]),
    ];
    site.results(operands, numbers, |axis, [q, k, v]| match q {
        _ if k != q || v != q || !told(axis, q) => None,
        State::Whole | State::Shard(0) => Some([q; 2]),
        State::Shard(1) => Some([State::Shard(2), State::Shard(1)]),
        _ => None,
    })
}

/// `(do, q, k, v, o, lse) -> (dq, dk, dv)`.
pub fn backward(operands: [&Item; 6], scores: &Scores, site: &Site) -> [Item; 3] {
    let [grad, q, k, v, out, lse] = operands.map(|operand| operand.number);
    let all = [grad, q, k, v, out, lse];
    let (how, told) = (attributes(scores), told(scores, site));
    let numbers = [
        Number::of("query gradient", &how, &all),
        Number::of("key gradient", &how, &all),
        Number::of("value gradient", &how, &[grad, q, k, lse]),
    ];
    site.results(
        operands,
        numbers,
        |axis, [grad, q, k, v, out, lse]| match (grad, q) {
            _ if k != q || v != q || lse != q || !told(axis, q) => None,
            (State::Whole | State::Sum, State::Whole) if out == State::Whole => Some([grad; 3]),
            (State::Shard(0), State::Shard(0)) if out == State::Shard(0) => Some([q; 3]),
            (State::Shard(2), State::Shard(1)) if out == State::Shard(2) => Some([q; 3]),
            _ => None,
        },
    )
}
