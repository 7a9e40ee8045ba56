//! Token ids of a micro-batch: which samples of the data order this replica works on.

use super::Context;
use crate::Dtype;
use crate::op::Tokens;
use crate::reference::value::{Unfit, Value};

/// The inputs or the targets of this rank's sequences.
///
/// # Errors
/// A sample that is not one token longer than a sequence.
pub fn tokens(which: Tokens, at: &Context) -> Result<Value, Unfit> {
    let training = at.training;
    let (batch, positions) = (training.micro_batch, training.sequence as usize);
    let replicas = u64::from(at.mesh.dp);
    let first = training.phase_samples(at.step)
        + u64::from(at.micro_batch) * replicas * batch
        + u64::from(at.place.dp) * batch;
    let mut data = Vec::new();
    for sample in first..first + batch {
        let row = (at.tokens)(sample);
        if row.len() != positions + 1 {
            return Err(Unfit(format!(
                "sample {sample} has {} tokens, not {}",
                row.len(),
                positions + 1
            )));
        }
        let begin = usize::from(which == Tokens::Targets);
        data.extend(row[begin..begin + positions].iter().map(|&id| id as f64));
    }
    Ok(Value {
        dims: vec![batch as usize, positions],
        dtype: Some(Dtype::I64),
        data,
    })
}
