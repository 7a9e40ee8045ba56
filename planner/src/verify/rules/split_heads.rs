//! The split into heads: packed columns become heads; positions must be whole, since each is rotated by its own.

use super::Site;
use crate::verify::held::{Item, State};
use crate::verify::number::Number;

/// The attributes as far as they matter.
pub struct Split([u64; 3]);

impl Split {
    /// With two rotated entries or fewer there is one frequency, and the base does not matter.
    pub fn new(head_dim: u64, rotary: u64, base: f64) -> Self {
        Split([
            head_dim,
            rotary,
            if rotary > 2 { base.to_bits() } else { 0 },
        ])
    }
}

/// `(qkv) -> (q, k, v)`.
pub fn forward(qkv: &Item, split: &Split, site: &Site) -> [Item; 3] {
    let numbers = [
        Number::of("queries", &split.0, &[qkv.number]),
        Number::of("keys", &split.0, &[qkv.number]),
        Number::of("values", &split.0[..1], &[qkv.number]),
    ];
    site.results([qkv], numbers, |_, [qkv]| match qkv {
        State::Whole | State::Sum | State::Shard(0) => Some([qkv; 3]),
        State::Shard(2) => Some([State::Shard(1); 3]),
        _ => None,
    })
}

/// `(dq, dk, dv) -> dqkv`.
pub fn backward(parts: [&Item; 3], split: &Split, site: &Site) -> [Item; 1] {
    let number = Number::of("packed gradient", &split.0, &parts.map(|part| part.number));
    site.results(parts, [number], |_, states| match states {
        [State::Whole, State::Whole, State::Whole] => Some([State::Whole]),
        [State::Sum, State::Sum, State::Sum] => Some([State::Sum]),
        [State::Shard(0), State::Shard(0), State::Shard(0)] => Some([State::Shard(0)]),
        [State::Shard(1), State::Shard(1), State::Shard(1)] => Some([State::Shard(2)]),
        _ => None,
    })
}
