//! From the joint projection to heads with rotary positions, and back.

use tch::Tensor;

use super::{HEADS, Launch, THREADS, Words, blocks, dense};
use crate::native::Result;
use crate::native::kernels::Heads;
use crate::ops::wide;

/// Splits the joint `[tokens, heads, group + 2, width]` into queries, keys and values, rotating by the table `[2, positions, half]`;
/// or, with `forward` false, the transpose.
///
/// # Errors
/// Operands that do not fit.
pub fn split(
    kernels: &dyn Launch,
    joint: &Tensor,
    parts: [&Tensor; 3],
    table: &Tensor,
    (shape, forward): (Heads, bool),
) -> Result<()> {
    let (kind, elements) = (joint.kind(), joint.numel() as i64);
    let each = elements / (shape.group + 2).max(1);
    dense("qkv", joint, kind, elements)?;
    for (part, times) in parts.into_iter().zip([shape.group, 1, 1]) {
        dense("q, k or v", part, kind, each * times)?;
    }
    let (_, positions, half) = table.size3()?;
    dense("the table", table, wide(kind), 2 * positions * half)?;
    let words = Words::new().tensor(joint);
    let words = parts.into_iter().fold(words, Words::tensor).tensor(table);
    words
        .number(elements)
        .number(shape.positions)
        .number(shape.heads)
        .number(shape.group)
        .number(shape.width)
        .number(half)
        .number(positions * half)
        .number(i64::from(forward))
        .launch(
            kernels,
            HEADS,
            ("split_heads", kind),
            [blocks(elements, 4), 1],
            THREADS,
        )
}
