//! The learning rate of a step: one function that the reference interpreter and the executor share.

use serde::{Deserialize, Serialize};

/// A learning-rate schedule with linear warm-up. Steps count from 0; the update after the first batch is step 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Schedule {
    /// The peak rate after the warm-up, for ever.
    Constant {
        /// Rate after the warm-up.
        peak: f64,
        /// Steps of linear warm-up.
        warmup: u64,
    },
    /// Half a cosine from `peak` at the end of the warm-up to `end` at `steps`.
    Cosine {
        /// Rate after the warm-up.
        peak: f64,
        /// Rate at the end.
        end: f64,
        /// Steps of linear warm-up.
        warmup: u64,
        /// Length of the schedule in steps; the rate stays at `end` afterwards.
        steps: u64,
    },
}

impl Schedule {
    /// The rate used by the update of `step` (0-based): warm-up gives `peak * (step + 1) / warmup`.
    pub fn rate(&self, step: u64) -> f64 {
        let (peak, warmup) = match *self {
            Schedule::Constant { peak, warmup } | Schedule::Cosine { peak, warmup, .. } => {
                (peak, warmup)
            }
        };
        let done = step + 1;
        if done <= warmup {
            return peak * done as f64 / warmup as f64;
        }
        match *self {
            Schedule::Constant { peak, .. } => peak,
            Schedule::Cosine {
                peak,
                end,
                warmup,
                steps,
            } => {
                let span = steps.saturating_sub(warmup).max(1) as f64;
                let progress = ((done - warmup) as f64 / span).min(1.0);
                end + (peak - end) / 2.0 * (1.0 + libm::cos(core::f64::consts::PI * progress))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warms_up_peaks_and_ends() {
        let schedule = Schedule::Cosine {
            peak: 1.0,
            end: 0.1,
            warmup: 10,
            steps: 110,
        };
        assert_eq!(schedule.rate(0), 0.1);
        assert_eq!(schedule.rate(9), 1.0);
        assert!((schedule.rate(59) - 0.55).abs() < 1e-12);
        assert_eq!(schedule.rate(109), 0.1);
        assert_eq!(schedule.rate(500), 0.1);
    }
}
