//! Token ids of a micro-batch and the weights of its targets: read from the data in its fixed order.

use pleach_plan::op::{Tokens, counts, plain};
use pleach_plan::{Dtype, Training};
use tch::Tensor;

use super::Context;
use crate::device::upload;
use crate::error::Cause;
use crate::statics::kind;

/// Which samples a micro-batch consists of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Batch {
    /// The first sample's number in the order.
    pub first: u64,
    /// Sequences of the micro-batch on this rank.
    pub sequences: u64,
    /// Positions of a sequence.
    pub positions: u64,
    /// The samples of the whole step: the first, and how many.
    pub step: [u64; 2],
    /// Type of the weights.
    pub weights: Dtype,
}

impl Batch {
    /// The sequences from a sample on, of a step of the run.
    pub fn of(training: &Training, step: u64, before: u64) -> Batch {
        let first = training.phase_samples(step);
        Batch {
            first: first + before,
            sequences: training.micro_batch,
            positions: training.sequence,
            step: [first, training.global_batch],
            weights: training.accumulate,
        }
    }
}

/// The ids at positions `0..S` or `1..=S` of each sequence, or the weights of the latter.
pub fn run(which: Tokens, context: &mut Context<'_>) -> Result<Tensor, Cause> {
    let Batch {
        first,
        sequences,
        positions,
        step: [begin, samples],
        weights,
    } = context.batch;
    let positions = positions as usize;
    let skipped = usize::from(which != Tokens::Inputs);
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
    let dims = [sequences as i64, positions as i64];
    if which == Tokens::Weights {
        let all = (samples * positions as u64) as f64;
        let weight = match context.samples.counted(begin..begin + samples)? {
            0 => 0.0,
            counted => all / counted as f64,
        };
        let of = |id: &i64| if counts(*id) { weight } else { 0.0 };
        let values: Vec<f64> = ids.iter().map(of).collect();
        let values = Tensor::f_from_slice(&values)?.f_to_kind(kind(weights))?;
        return Ok(upload(&values.f_view(dims)?, context.device)?);
    }
    ids.iter_mut().for_each(|id| *id = plain(*id));
    let ids = Tensor::f_from_slice(&ids)?.f_view(dims)?;
    Ok(upload(&ids, context.device)?)
}
