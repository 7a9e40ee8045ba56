//! Token ids of a micro-batch, or the weights of its targets: which samples of the data order this replica works on.

use super::Context;
use crate::Dtype;
use crate::op::{Tokens, counts, plain};
use crate::reference::value::{Unfit, Value};

/// The inputs or the targets of this rank's sequences, or the weights of these targets.
///
/// # Errors
/// A sample that is not one token longer than a sequence.
pub fn tokens(which: Tokens, at: &Context) -> Result<Value, Unfit> {
    let training = at.training;
    let (batch, positions) = (training.micro_batch, training.sequence as usize);
    let first = at.first_sample();
    let sample = |sample: u64| {
        let row = (at.tokens)(sample);
        if row.len() == positions + 1 {
            return Ok(row);
        }
        let found = row.len();
        Err(Unfit(format!(
            "sample {sample} has {found} tokens, not {}",
            positions + 1
        )))
    };
    let rows: Vec<Vec<i64>> = (first..first + batch)
        .map(sample)
        .collect::<Result<_, _>>()?;
    let dims = vec![batch as usize, positions];
    if which == Tokens::Weights {
        let begin = training.phase_samples(at.step);
        let mut counted = 0;
        for row in (begin..begin + training.global_batch).map(sample) {
            counted += row?[1..].iter().filter(|&&id| counts(id)).count();
        }
        let weight = match counted {
            0 => 0.0,
            counted => (training.global_batch * training.sequence) as f64 / counted as f64,
        };
        let of = |id: &i64| if counts(*id) { weight } else { 0.0 };
        let data = rows
            .iter()
            .flat_map(|row| row[1..].iter().map(of))
            .collect();
        let dtype = Some(training.accumulate);
        return Ok(Value { dims, dtype, data });
    }
    let begin = usize::from(which == Tokens::Targets);
    let ids = rows.iter().flat_map(|row| &row[begin..begin + positions]);
    Ok(Value {
        dims,
        dtype: Some(Dtype::I64),
        data: ids.map(|&id| plain(id) as f64).collect(),
    })
}
