//! Operations done sequence by sequence, so that how many sequences pass at once changes no bit.
//!
//! In come an operation and operands that hold several sequences, out come the results of all. What computes each element or row from its own
//! alone is done at once; the others are listed in [`by_sequence`].

use pleach_plan::Op;
use pleach_plan::lanes::by_sequence;
use tch::Tensor;

use crate::error::Cause;
use crate::ops::{self, Context, Operands};

/// Runs an operation as [`ops::run`] does.
///
/// # Errors
/// The operation's.
pub fn run(
    op: &Op,
    operands: Operands<'_>,
    context: &mut Context<'_>,
) -> Result<Vec<Tensor>, Cause> {
    let Some(shared) = by_sequence(op) else {
        return ops::run(op, operands, context);
    };
    let dim = i64::from(matches!(op, Op::CrossEntropyLoss { .. }));
    let count = operands.ins[0].size()[dim as usize];
    if count == 1 {
        return ops::run(op, operands, context);
    }
    let mut made: Vec<Vec<Tensor>> = Vec::new();
    for sequence in 0..count {
        let own = |(index, tensor): (usize, &&Tensor)| match shared.contains(&index) {
            true => Ok(tensor.shallow_clone()),
            // Only the loss's terms have their parts before their sequences.
            false if index == 0 => tensor.f_narrow(dim, sequence, 1),
            false => tensor.f_narrow(0, sequence, 1),
        };
        let ins: Vec<Tensor> = operands
            .ins
            .iter()
            .enumerate()
            .map(own)
            .collect::<Result<_, _>>()?;
        let ins: Vec<&Tensor> = ins.iter().collect();
        let operands = Operands {
            ins: &ins,
            updates: operands.updates,
            ends: &[],
        };
        for (index, result) in ops::run(op, operands, context)?.into_iter().enumerate() {
            if made.len() == index {
                made.push(Vec::new());
            }
            made[index].push(result);
        }
    }
    let join = |parts: &Vec<Tensor>| Ok(Tensor::f_cat(parts, 0)?);
    made.iter().map(join).collect()
}
