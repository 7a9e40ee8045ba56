//! Saving while training goes on: the state is copied at once, a thread writes the copy, and ranks agree between steps how far all are.
//!
//! In come the copy and, after each step, whether every rank has ended its part; out comes a complete checkpoint, as [`Saver::save`]
//! would have written it at that step. A step waits for the copy only. Nothing is complete before all ranks have written and
//! rank 0 has put its name to it, so a death at any instant leaves the checkpoint before.

use std::collections::HashMap;
use std::thread::{self, JoinHandle};

use pleach_plan::{Plan, Standing};
use pleach_storage::checkpoint::{self, CheckpointError, Saved};

use crate::collectives::Collectives;
use crate::error::Failure;
use crate::saving::{Copied, Saver, agree};

/// What a thread does for a checkpoint.
type Work = JoinHandle<Result<(), CheckpointError>>;

/// A checkpoint on its way.
pub struct Pending {
    step: u64,
    standing: Standing,
    /// What this rank writes; none where it has nothing to do in this part.
    work: Option<Work>,
    /// Whether all have written, so that rank 0 completes it.
    completing: bool,
}

impl Pending {
    /// Begins to write a copy of the state after `step` steps.
    pub fn begin(saver: &Saver<'_>, (step, standing): (u64, Standing), copy: Vec<Copied>) -> Self {
        let (folder, rank) = (saver.folder.clone(), saver.rank);
        let write = move || {
            let (tensors, bytes): (Vec<Saved>, Vec<Vec<u8>>) = copy.into_iter().unzip();
            let names = tensors.iter().map(|saved| saved.stored.name.clone());
            let mut bytes: HashMap<String, Vec<u8>> = names.zip(bytes).collect();
            let content = |saved: &Saved| bytes.remove(&saved.stored.name).unwrap_or_default();
            checkpoint::write_shard(&folder, step, rank, &tensors, content).map(drop)
        };
        Pending {
            step,
            standing,
            work: Some(thread::spawn(write)),
            completing: false,
        }
    }

    /// The step that it is of.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Whether this rank still works on it.
    pub fn is_at_work(&self) -> bool {
        self.work.as_ref().is_some_and(|work| !work.is_finished())
    }

    /// Goes on once no rank is at work: from writing to completing, from there to the end. Answers itself until it is complete. All
    /// ranks call this together.
    ///
    /// # Errors
    /// Some rank could not write.
    pub fn advance(
        self,
        saver: &Saver<'_>,
        collectives: &mut dyn Collectives,
    ) -> Result<Option<Self>, Failure> {
        let what = if self.completing {
            "complete the checkpoint"
        } else {
            "write its part of the checkpoint"
        };
        agree(ended(self.work), what, saver.rank, collectives)?;
        if self.completing {
            return Ok(None);
        }
        let completes = saver.rank == 0;
        Ok(Some(Pending {
            work: completes.then(|| complete(saver, self.step, self.standing.clone())),
            completing: true,
            ..self
        }))
    }

    /// Waits until it is complete. All ranks call this together.
    ///
    /// # Errors
    /// As [`Pending::advance`].
    pub fn finish(
        self,
        saver: &Saver<'_>,
        collectives: &mut dyn Collectives,
    ) -> Result<(), Failure> {
        let mut rest = Some(self);
        while let Some(pending) = rest {
            rest = pending.advance(saver, collectives)?;
        }
        Ok(())
    }
}

fn complete(saver: &Saver<'_>, step: u64, standing: Standing) -> Work {
    let (folder, plan): (_, Plan) = (saver.folder.clone(), saver.plan.clone());
    thread::spawn(move || {
        checkpoint::commit(&folder, &plan, step, &standing)?;
        Ok(checkpoint::keep(&folder, &plan.training.saving)?)
    })
}

/// What a thread ended with; one that fell passes its panic on.
fn ended(work: Option<Work>) -> Result<(), CheckpointError> {
    match work.map(JoinHandle::join) {
        None => Ok(()),
        Some(Ok(result)) => result,
        Some(Err(panic)) => std::panic::resume_unwind(panic),
    }
}
