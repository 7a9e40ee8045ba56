//! The split into heads: packed columns become heads; positions must be whole, since each is rotated by its own.

use pleach_plan::Split;

use super::Site;
use crate::verify::held::{Item, State};
use crate::verify::number::Number;

/// The attributes as far as they matter: with two rotated entries or fewer there is one frequency, whatever the base, and where
/// nothing is rotated no scale.
fn attributes(split: &Split) -> [u64; 5] {
    let matters = |least: u64, number: f64| {
        if split.rotary > least {
            number.to_bits()
        } else {
            0
        }
    };
    let (base, scale) = (matters(2, split.base), matters(0, split.scale));
    [split.head_dim, split.group, split.rotary, base, scale]
}

/// `(qkv) -> (q, k, v)`.
pub fn forward(qkv: &Item, split: &Split, site: &Site) -> [Item; 3] {
    let all = attributes(split);
    let numbers = [
        Number::of("queries", &all, &[qkv.number]),
        Number::of("keys", &all, &[qkv.number]),
        Number::of("values", &all[..2], &[qkv.number]),
    ];
    site.results([qkv], numbers, |_, [qkv]| match qkv {
        State::Whole | State::Sum | State::Shard(0) => Some([qkv; 3]),
        State::Shard(2) => Some([State::Shard(1); 3]),
        _ => None,
    })
}

/// `(dq, dk, dv) -> dqkv`.
pub fn backward(parts: [&Item; 3], split: &Split, site: &Site) -> [Item; 1] {
    let number = Number::of(
        "packed gradient",
        &attributes(split),
        &parts.map(|part| part.number),
    );
    site.results(parts, [number], |_, states| match states {
        [State::Whole, State::Whole, State::Whole] => Some([State::Whole]),
        [State::Sum, State::Sum, State::Sum] => Some([State::Sum]),
        [State::Shard(0), State::Shard(0), State::Shard(0)] => Some([State::Shard(0)]),
        [State::Shard(1), State::Shard(1), State::Shard(1)] => Some([State::Shard(2)]),
        _ => None,
    })
}
