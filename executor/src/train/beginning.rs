//! What a run begins with: initial values, weights that somebody trained before, or a checkpoint of its own.
//!
//! In comes what was asked, out come filled static tensors and how many steps are done.

use pleach_plan::Standing;

use super::Run;
use crate::error::{Exit, Failure};
use crate::load;

/// Where a run goes back and finds nothing.
const NONE_YET: &str = "there is no checkpoint yet: starting from the beginning";

impl Run<'_> {
    /// Initial values, or those of the newest checkpoint; answers how many steps are done.
    pub(super) fn begin(&mut self) -> Result<u64, Failure> {
        let watch = self.watch.clone();
        let doing = watch.doing("reading the state to begin with");
        if self.options.resume {
            if let Some((step, standing)) = self.resume()? {
                self.finite.0 = standing;
                return Ok(step);
            }
            self.voice.note(NONE_YET);
        } else {
            self.saver.refuse_to_overwrite()?;
        }
        self.follows(0)?;
        self.initial()?;
        let met = self.collectives.agree(&mut [0]);
        met.map_err(|cause| {
            Failure::outside(&cause, "waiting for all ranks before the first step")
        })?;
        drop(doing);
        if self.plan.training.saving.stays(0) {
            self.save(0, false)?;
        }
        Ok(0)
    }

    /// The values of the newest checkpoint; answers how many steps are done and how the run stood, or none where there is no checkpoint.
    fn resume(&mut self) -> Result<Option<(u64, Standing)>, Failure> {
        let voice = self.voice;
        let mut note = |text: String| voice.note(&text);
        let statics = self.interpreter.statics();
        let found = self
            .saver
            .resume(statics, &mut *self.collectives, &mut note)?;
        let Some((step, standing)) = found else {
            return Ok(None);
        };
        self.follows(step)?;
        self.saved.set(Some(step));
        let samples = self.plan.training.phase_samples(step);
        let phase = self.plan.training.phase.as_deref();
        let of_phase = phase.map_or_else(String::new, |name| format!(" of phase `{name}`"));
        voice.note(&format!(
            "resumed after step {step}; next is sample {samples}{of_phase}"
        ));
        Ok(Some((step, standing)))
    }

    /// The values that the run begins with.
    fn initial(&self) -> Result<(), Failure> {
        let statics = self.interpreter.statics();
        match load::weights(self.plan, self.options.weights.as_deref())? {
            Some(weights) => self.saver.begin_with(&weights, statics),
            None => statics
                .initialise(self.plan, self.interpreter.role(), self.saver.rank)
                .map_err(|cause| Failure::outside(&cause, "initialising")),
        }
    }

    /// Goes back to the newest checkpoint, or to the beginning where there is none; answers how many steps are done.
    pub(super) fn begin_again(&mut self) -> Result<u64, Failure> {
        self.settle()?;
        let watch = self.watch.clone();
        let _doing = watch.doing("going back to the last checkpoint");
        if let Some((step, standing)) = self.resume()? {
            self.finite.go_back(standing);
            return Ok(step);
        }
        let cleared = self.interpreter.statics().clear();
        cleared.map_err(|cause| Failure::outside(&cause, "going back to the beginning"))?;
        self.initial()?;
        let scaling = self.plan.training.scaling.as_ref();
        self.finite.go_back(Standing::new(scaling));
        self.voice.note(NONE_YET);
        Ok(0)
    }

    /// A phase goes on from where the one before it ended.
    fn follows(&self, step: u64) -> Result<(), Failure> {
        let begins = self.plan.training.begins.steps;
        if step >= begins {
            return Ok(());
        }
        let message =
            format!("this phase begins after step {begins}, and the run is at step {step}");
        Err(
            Failure::new(Exit::Wish, "pleach::worker::phase", message).help(
                "train the phases in their order; all but the first go on with --resume, which `pleach run` does",
            ),
        )
    }
}
