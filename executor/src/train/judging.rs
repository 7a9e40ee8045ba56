//! What follows a step: in comes its report, out come its figures, or that the run goes back, or the failure that ends it.
//!
//! What is not finite is not saved: a state is asked before a checkpoint of it is made.

use pleach_plan::Figure;
use pleach_storage::run::StepMetrics;

use super::Run;
use crate::device;
use crate::error::Failure;
use crate::finite::{Verdict, spoilt};

impl Run<'_> {
    /// The figures of a step, once it is decided what follows if it is not finite; none where the run goes back.
    pub(super) fn judge(
        &mut self,
        step: u64,
        seconds: f64,
    ) -> Result<Option<StepMetrics>, Failure> {
        let report = self.interpreter.report();
        let report = report.map_err(|cause| Failure::outside(&cause, "reading the report"))?;
        let scale = self.finite.0.guard.scale;
        let tells = self.saver.rank == 0;
        match self.finite.judge(&self.plan.training, step, report) {
            Verdict::Applied => {}
            Verdict::Skipped(why) if tells => self.voice.note(&why),
            Verdict::Skipped(_) => {}
            Verdict::RollBack(why) => {
                if tells {
                    self.voice.note(&format!("{why}; the run goes back"));
                }
                return Ok(None);
            }
            Verdict::Halt(failure) => {
                self.settle()?;
                if let Some(rank) = self.spoilt()? {
                    let what = format!(
                        "{}; weights of rank {rank} were not finite before it",
                        failure.message
                    );
                    return Err(spoilt(step + 1, &what));
                }
                if self.saved.get() != Some(step) {
                    self.save(step, true)?;
                }
                return Err(*failure);
            }
        }
        let mut figures = self.figures(step, report, scale, seconds);
        figures.param_norm = self.param_norm()?;
        Ok(Some(figures))
    }

    /// Whether weights are not finite that are about to be saved, and the run goes back for it.
    pub(super) fn is_spoilt(&mut self, done: u64) -> Result<bool, Failure> {
        let Some(rank) = self.spoilt()? else {
            return Ok(false);
        };
        match self.finite.found_spoilt(&self.plan.training, done, rank) {
            Verdict::Halt(failure) => Err(*failure),
            Verdict::RollBack(why) | Verdict::Skipped(why) => {
                self.voice.note(&format!("{why}; the run goes back"));
                Ok(true)
            }
            Verdict::Applied => Ok(false),
        }
    }

    /// The first rank whose weights are not finite.
    fn spoilt(&mut self) -> Result<Option<u32>, Failure> {
        let _doing = self.watch.doing("asking whether all weights are finite");
        let outside = |cause| Failure::outside(&cause, "asking whether all weights are finite");
        let finite = self.interpreter.weights_are_finite().map_err(outside)?;
        // Ranks agree on the largest, so they count from behind.
        let behind = i64::from(self.plan.mesh.ranks()) - i64::from(self.saver.rank);
        let mut worst = [if finite { 0 } else { behind }];
        self.collectives.agree(&mut worst).map_err(outside)?;
        let first = i64::from(self.plan.mesh.ranks()) - worst[0];
        Ok((worst[0] > 0).then_some(first as u32))
    }

    /// The norm of all parameters, where it is logged: every rank brings its part, and the parts are added in the order of ranks.
    fn param_norm(&mut self) -> Result<Option<f64>, Failure> {
        if !self
            .plan
            .training
            .logging
            .figures
            .contains(&Figure::ParamNorm)
        {
            return Ok(None);
        }
        let _doing = self.watch.doing("adding up the squares of all parameters");
        let outside = |cause| Failure::outside(&cause, "adding up the squares of all parameters");
        let own = self.interpreter.squared_weights().map_err(outside)?;
        // Ranks agree on the largest: each has a place of its own, and the bits of what is not negative rise with it.
        let mut all = vec![0; self.plan.mesh.ranks() as usize];
        all[self.saver.rank as usize] = own.to_bits().cast_signed();
        self.collectives.agree(&mut all).map_err(outside)?;
        let squares: f64 = all
            .iter()
            .map(|bits| f64::from_bits(bits.cast_unsigned()))
            .sum();
        Ok(Some(squares.sqrt()))
    }

    fn figures(&self, step: u64, report: [f64; 2], scale: f64, seconds: f64) -> StepMetrics {
        let [loss, squares] = report;
        let training = &self.plan.training;
        StepMetrics {
            step: step + 1,
            loss,
            grad_norm: squares.sqrt() / scale,
            lr: training.schedule.rate(step),
            tokens_per_s: (training.global_batch * training.sequence) as f64 / seconds,
            seconds,
            samples: training.samples(step + 1),
            memory_bytes: Some(device::held()),
            loss_scale: training.scaling.map(|_| scale),
            param_norm: None,
            utilization: self.utilization(seconds),
            skipped: self.finite.0.guard.skipped,
            validation_loss: None,
            test_loss: None,
        }
    }

    fn utilization(&self, seconds: f64) -> Option<f64> {
        let useful = self.plan.prediction.as_ref()?.useful?;
        Some(useful.part(seconds))
    }
}
