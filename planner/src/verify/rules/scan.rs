//! The selective scan: sequences and channels are independent of each other; backward is linear in the gradient it gets.

use super::Site;
use crate::verify::held::{Item, State};
use crate::verify::number::Number;

use State::{Shard, Sum, Whole};

/// `(x, step, decay, write, read, skip) -> y`.
pub fn forward(operands: [&Item; 6], site: &Site) -> [Item; 1] {
    let number = Number::of("scan", &[], &operands.map(|operand| operand.number));
    site.results(operands, [number], |_, states| match states {
        [Whole, Whole, Whole, Whole, Whole, Whole] => Some([Whole]),
        [Shard(0), Shard(0), Whole, Shard(0), Shard(0), Whole] => Some([Shard(0)]),
        [Shard(2), Shard(2), Shard(0), Whole, Whole, Shard(0)] => Some([Shard(2)]),
        _ => None,
    })
}

/// `(dy, x, step, decay, write, read, skip) -> (dx, dstep, dwrite, dread)`, then what the gradients of decay and skip gain.
pub fn backward(operands: [&Item; 7], site: &Site) -> [Item; 6] {
    let [dy, x, step, decay, write, read, skip] = operands.map(|operand| operand.number);
    let of = |name, operands: &[Number]| Number::of(name, &[], operands);
    let numbers = [
        of("scan input gradient", &[dy, step, decay, write, read, skip]),
        of("scan step gradient", &[dy, x, step, decay, write, read]),
        of("scan write gradient", &[dy, x, step, decay, read]),
        of("scan read gradient", &[dy, x, step, decay, write]),
        of("scan decay gradient", &[dy, x, step, decay, write, read]),
        of("scan skip gradient", &[dy, x]),
    ];
    site.results(operands, numbers, |_, states| match states {
        [dy @ (Whole | Sum), Whole, Whole, Whole, Whole, Whole, Whole] => Some([dy; 6]),
        [
            Shard(0),
            Shard(0),
            Shard(0),
            Whole,
            Shard(0),
            Shard(0),
            Whole,
        ] => Some([Shard(0), Shard(0), Shard(0), Shard(0), Sum, Sum]),
        [
            Shard(2),
            Shard(2),
            Shard(2),
            Shard(0),
            Whole,
            Whole,
            Shard(0),
        ] => Some([Shard(2), Shard(2), Sum, Sum, Shard(0), Shard(0)]),
        _ => None,
    })
}
