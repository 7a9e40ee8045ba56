//! Token ids of a micro-batch: read from the data in its fixed order.

use pleach_plan::op::Tokens;
use tch::Tensor;

use super::Context;
use crate::error::Cause;

/// Which samples a micro-batch consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The first sample's number in the order.
    pub first: u64,
    /// Sequences of the micro-batch on this rank.
    pub sequences: u64,
    /// Positions of a sequence.
    pub positions: u64,
}

/// The ids at positions `0..S` or `1..=S` of each sequence.
pub fn run(which: Tokens, context: &mut Context<'_>) -> Result<Tensor, Cause> {
    let Batch {
        first,
        sequences,
        positions,
    } = context.batch;
    let positions = positions as usize;
    let skipped = usize::from(which == Tokens::Targets);
    let mut ids = Vec::with_capacity(sequences as usize * positions);
    for index in first..first + sequences {
        let sample = context.samples.sample(index)?;
        if sample.len() != positions + 1 {
            return Err(Cause::Data(format!(
                "sample {index} has {} tokens, not {}",
                sample.len(),
                positions + 1
            )));
        }
        ids.extend_from_slice(&sample[skipped..skipped + positions]);
    }
    Ok(Tensor::f_from_slice(&ids)?.f_view([sequences as i64, positions as i64])?)
}
