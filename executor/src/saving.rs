//! Checkpoints of a run: this rank's static tensors out to its shard, and back from whatever placement wrote them.
//!
//! Saving is one agreement of all ranks: each writes its part, all learn whether all could, then rank 0 completes it. Gradients
//! are saved in the same form, in the place of the first moments, so that whoever reads checkpoints can read them too.

use std::collections::HashMap;
use std::path::PathBuf;

use pleach_plan::walk::Visit;
use pleach_plan::{Instr, Plan, Standing, TensorId};
use pleach_storage::checkpoint::{self, Checkpoint, CheckpointError, Kind, Needed, Saved};
use pleach_storage::hf::Weights;
use tch::Tensor;

use crate::collectives::Collectives;
use crate::error::{Cause, Exit, Failure};
use crate::statics::{self, Statics};

/// Elements of a tensor that are read at once: what a start needs beside its tensors must be less than what a step does.
const AT_ONCE: u64 = 1 << 18;

/// Where and as whom a rank saves.
#[derive(Clone, Debug)]
pub struct Saver<'p> {
    /// The plan.
    pub plan: &'p Plan,
    /// This rank.
    pub rank: u32,
    /// The folder of checkpoints.
    pub folder: PathBuf,
}

/// A tensor of the state with a copy of its bytes.
pub type Copied = (Saved, Vec<u8>);

/// Reduced, unscaled gradients of a step, taken just before the update: by the tensor of first moments, and layer.
pub type Gradients = HashMap<(TensorId, Option<u32>), Tensor>;

impl Saver<'_> {
    /// Saves the state after `step` steps, `whole` also where the run keeps only weights. All ranks call this together.
    ///
    /// # Errors
    /// Some rank could not write; then nothing is complete, and earlier checkpoints are untouched.
    pub fn save(
        &self,
        statics: &Statics,
        (step, standing): (u64, &Standing),
        whole: bool,
        collectives: &mut dyn Collectives,
    ) -> Result<(), Failure> {
        self.write((step, standing), statics, whole, collectives)?;
        if self.rank == 0 {
            checkpoint::keep(&self.folder, &self.plan.training.saving)
                .map_err(|error| Failure::file(&self.folder, &error))?;
        }
        Ok(())
    }

    /// The same where none of what is there is deleted.
    ///
    /// # Errors
    /// As [`Saver::save`].
    pub fn write(
        &self,
        at: (u64, &Standing),
        statics: &Statics,
        whole: bool,
        collectives: &mut dyn Collectives,
    ) -> Result<(), Failure> {
        let content =
            |saved: &Saved| bytes_of(statics.get(saved.tensor, saved.stored.layer), saved);
        self.save_with(at, &self.parts(whole), content, collectives)
    }

    /// Copies what this rank saves.
    pub fn copy(&self, statics: &Statics, whole: bool) -> Vec<Copied> {
        let copied = |saved: Saved| {
            let bytes = bytes_of(statics.get(saved.tensor, saved.stored.layer), &saved);
            (saved, bytes)
        };
        self.parts(whole).into_iter().map(copied).collect()
    }

    /// What this rank saves: the state as the run keeps it, or the whole of it, which can be gone on from.
    fn parts(&self, whole: bool) -> Vec<Saved> {
        let mut tensors = checkpoint::saved(self.plan, self.rank);
        let alone = self.plan.training.saving.weights_only && !whole;
        tensors.retain(|saved| !alone || saved.stored.kind == Kind::Weight);
        tensors
    }

    /// Saves gradients as if they were first moments.
    ///
    /// # Errors
    /// As [`Saver::save`].
    pub fn save_gradients(
        &self,
        statics: &Statics,
        gradients: &Gradients,
        step: u64,
        collectives: &mut dyn Collectives,
    ) -> Result<(), Failure> {
        let content = |saved: &Saved| {
            let held = statics.get(saved.tensor, saved.stored.layer);
            let gradient = gradients.get(&(saved.tensor, saved.stored.layer));
            bytes_of(
                if saved.stored.kind == Kind::M {
                    gradient
                } else {
                    held
                },
                saved,
            )
        };
        let fresh = Standing::new(self.plan.training.scaling.as_ref());
        self.save_with((step, &fresh), &self.parts(true), content, collectives)
    }

    fn save_with(
        &self,
        (step, standing): (u64, &Standing),
        tensors: &[Saved],
        content: impl FnMut(&Saved) -> Vec<u8>,
        collectives: &mut dyn Collectives,
    ) -> Result<(), Failure> {
        let written =
            checkpoint::write_shard(&self.folder, step, self.rank, tensors, content).map(drop);
        agree(
            written,
            "write its part of the checkpoint",
            self.rank,
            collectives,
        )?;
        let completed = if self.rank == 0 {
            checkpoint::commit(&self.folder, self.plan, step, standing).map(drop)
        } else {
            Ok(())
        };
        agree(completed, "complete the checkpoint", self.rank, collectives)
    }

    /// Reads the newest good checkpoint into the static tensors; gives the steps done and how the run stands, or none where there is no checkpoint.
    /// All ranks must find the same one.
    ///
    /// # Errors
    /// A checkpoint of another experiment, none that is good, or ranks that see different ones.
    pub fn resume(
        &self,
        statics: &Statics,
        collectives: &mut dyn Collectives,
        note: &mut dyn FnMut(String),
    ) -> Result<Option<(u64, Standing)>, Failure> {
        let found = checkpoint::newest(&self.folder)
            .map_err(|error| Failure::file(&self.folder, &error))?;
        for error in &found.rejected {
            note(format!("a newer checkpoint is not used: {error}"));
        }
        let step = found.checkpoint.as_ref().map(|good| good.manifest.step);
        self.same_everywhere(step, collectives)?;
        let Some(good) = found.checkpoint else {
            return none_left(found.rejected);
        };
        good.check(self.plan).map_err(|error| refused(&error))?;
        if !good.has_moments() {
            return Err(weights_alone(&good));
        }
        self.fill(&good, statics)?;
        let fresh = Standing::new(self.plan.training.scaling.as_ref());
        let standing = Standing {
            guard: good.manifest.guard.unwrap_or(fresh.guard),
            counts: good.manifest.counts.clone(),
        };
        Ok(Some((good.manifest.step, standing)))
    }

    /// A run that begins must not take the place of one that has been saved.
    ///
    /// # Errors
    /// There is a checkpoint.
    pub fn refuse_to_overwrite(&self) -> Result<(), Failure> {
        let there = checkpoint::list(&self.folder);
        let there = there.map_err(|error| Failure::file(&self.folder, &error))?;
        let Some((step, _)) = there.last() else {
            return Ok(());
        };
        let message = format!(
            "{} has a checkpoint of step {step} already",
            self.folder.display()
        );
        let refused = Failure::new(Exit::Wish, "pleach::worker::exists", message);
        Err(refused.help("go on from it with --resume, or name another folder"))
    }

    /// Copies a checkpoint's values into the static tensors; of one with weights alone these.
    ///
    /// # Errors
    /// A parameter that the checkpoint lacks or has in another shape.
    pub fn fill(&self, good: &Checkpoint, statics: &Statics) -> Result<(), Failure> {
        let mut needed = checkpoint::needed(self.plan, self.rank);
        needed.retain(|needed| good.has_moments() || needed.kind == Kind::Weight);
        self.fill_with(statics, &needed, |part| {
            good.fill(self.plan, self.rank, part)
                .map_err(|error| refused(&error))
        })
    }

    /// Copies weights that somebody trained before into the static tensors; moments stay zero.
    ///
    /// # Errors
    /// The system's.
    pub fn begin_with(&self, weights: &Weights, statics: &Statics) -> Result<(), Failure> {
        let mut needed = checkpoint::needed(self.plan, self.rank);
        needed.retain(|needed| needed.kind == Kind::Weight);
        self.fill_with(statics, &needed, |part| {
            weights
                .fill(self.plan, self.rank, part)
                .map_err(|error| Failure::file(&error.path, &error))
        })
    }

    /// Copies values into static tensors, piece by piece.
    fn fill_with(
        &self,
        statics: &Statics,
        needed: &[Needed],
        values: impl Fn(&Needed) -> Result<Vec<f64>, Failure>,
    ) -> Result<(), Failure> {
        for needed in needed {
            let Some(target) = statics.get(needed.tensor, needed.layer) else {
                continue;
            };
            for first in (0..needed.length).step_by(AT_ONCE as usize) {
                let length = AT_ONCE.min(needed.length - first);
                let part = Needed {
                    begin: needed.begin + first,
                    length,
                    ..*needed
                };
                let values = values(&part)?;
                target
                    .f_narrow(0, first as i64, length as i64)
                    .map_err(Cause::from)
                    .and_then(|target| statics::fill(&target, &values))
                    .map_err(|cause| Failure::outside(&cause, "filling tensors"))?;
            }
        }
        Ok(())
    }

    fn same_everywhere(
        &self,
        step: Option<u64>,
        collectives: &mut dyn Collectives,
    ) -> Result<(), Failure> {
        let own = step.map_or(-1, |step| step as i64);
        let mut extremes = [own, -own];
        collectives
            .agree(&mut extremes)
            .map_err(|cause| Failure::outside(&cause, "agreeing on a checkpoint"))?;
        if extremes == [own, -own] {
            return Ok(());
        }
        let message = format!(
            "ranks see different checkpoints: the newest is step {}, on some it is {}",
            extremes[0], -extremes[1]
        );
        Err(
            Failure::new(Exit::Machine, "pleach::worker::checkpoint", message)
                .help("the run's folder must be the same shared folder on all machines"),
        )
    }
}

/// Copies the gradients that an update is about to use, free of the loss's scale.
///
/// # Errors
/// libtorch's text.
pub fn capture(
    gradients: &mut Gradients,
    visit: &Visit<'_>,
    instr: &Instr,
    updates: &[&Tensor],
    loss_scale: f64,
) -> Result<(), Cause> {
    if let (true, &[_, m, ..], &[.., gradient]) =
        (instr.op.is_update(), instr.updates.as_slice(), updates)
    {
        let free = gradient.f_div_scalar(loss_scale)?;
        gradients.insert((m, visit.layer), free);
    }
    Ok(())
}

/// Whether all ranks could do something; the one that could not says why, the others that somebody could not.
///
/// # Errors
/// A rank could not, or is gone.
pub fn agree(
    own: Result<(), CheckpointError>,
    what: &str,
    rank: u32,
    collectives: &mut dyn Collectives,
) -> Result<(), Failure> {
    let mut failed = [if own.is_err() { i64::from(rank) + 1 } else { 0 }];
    let agreed = collectives.agree(&mut failed);
    own.map_err(|error| {
        Failure::new(Exit::Fault, "pleach::worker::checkpoint", error.to_string())
            .help("earlier checkpoints are untouched; make room, then resume from the last one")
    })?;
    agreed.map_err(|cause| Failure::outside(&cause, "saving a checkpoint"))?;
    match failed[0] {
        0 => Ok(()),
        other => {
            let message = format!("rank {} could not {what}", other - 1);
            let failure = Failure::new(Exit::Fault, "pleach::worker::checkpoint", message);
            Err(Failure {
                peer: u32::try_from(other - 1).ok(),
                ..failure.help("its log says why")
            })
        }
    }
}

fn none_left<T>(rejected: Vec<CheckpointError>) -> Result<Option<T>, Failure> {
    match rejected.first() {
        None => Ok(None),
        Some(error) => Err(Failure::new(
            Exit::Machine,
            "pleach::worker::checkpoint",
            format!("no checkpoint is whole: {error}"),
        )
        .help("restore the file, or start again without --resume")),
    }
}

fn weights_alone(found: &Checkpoint) -> Failure {
    let message = format!(
        "{} holds weights and no optimizer's state: the run cannot go on from it",
        found.folder.display()
    );
    Failure::new(Exit::Wish, "pleach::worker::checkpoint", message).help(
        "`checkpoints.optimizer = false` saves such ones; a run that was asked to stop saves all",
    )
}

fn refused(error: &CheckpointError) -> Failure {
    Failure::new(Exit::Wish, "pleach::worker::checkpoint", error.to_string())
}

/// The bytes of what is saved of a tensor. None come out where it is not held, which the writer then reports by name.
fn bytes_of(tensor: Option<&Tensor>, saved: &Saved) -> Vec<u8> {
    let length = saved.stored.length as usize;
    let mut bytes = vec![0; length * saved.stored.dtype.bytes() as usize];
    let part = tensor.map(|tensor| tensor.f_narrow(0, saved.from as i64, length as i64));
    match part {
        Some(Ok(part)) if part.f_copy_data_u8(&mut bytes, length).is_ok() => bytes,
        _ => Vec::new(),
    }
}
