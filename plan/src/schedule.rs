//! The learning rate of a step: one function that the reference interpreter and the executor share.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// A learning-rate schedule with linear warm-up. Steps count from 0; the update after the first batch is step 0.
///
/// Unless it says otherwise, the warm-up gives `peak * (step + 1) / warmup`, update `steps - 1` has the rate `end`, and so have all later ones.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
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
    /// A straight line from `peak` at the end of the warm-up to `end` at `steps`.
    Linear {
        /// Rate after the warm-up.
        peak: f64,
        /// Rate at the end.
        end: f64,
        /// Steps of linear warm-up.
        warmup: u64,
        /// Length of the schedule in steps.
        steps: u64,
    },
    /// The same share lost in every step, from `peak` at the end of the warm-up to `end` at `steps`.
    Exponential {
        /// Rate after the warm-up.
        peak: f64,
        /// Rate at the end, above 0.
        end: f64,
        /// Steps of linear warm-up.
        warmup: u64,
        /// Length of the schedule in steps.
        steps: u64,
    },
    /// The peak, and from `steps - decay` on a fall to `end` at `steps`.
    Wsd {
        /// Rate after the warm-up.
        peak: f64,
        /// Rate at the end.
        end: f64,
        /// Steps of linear warm-up.
        warmup: u64,
        /// Steps of the fall.
        decay: u64,
        /// Its form.
        fall: Fall,
        /// Length of the schedule in steps.
        steps: u64,
    },
    /// As one over the square root of the updates done, never below `end`.
    InverseSqrt {
        /// Rate after the warm-up.
        peak: f64,
        /// Lower bound.
        end: f64,
        /// Steps of linear warm-up.
        warmup: u64,
    },
    /// A way between two rates in a phase of a run: after its last step the rate is `to`.
    Segment {
        /// Rate at its beginning.
        from: f64,
        /// Rate at its end.
        to: f64,
        /// The step of the run at which it begins.
        begins: u64,
        /// Its steps.
        steps: u64,
        /// Its form.
        form: Fall,
    },
    /// What GPT-NeoX computes for these values: not the formulas above.
    Neox {
        /// Whose numbers.
        version: Neox,
        /// What comes after the warm-up; none for the peak for ever.
        fall: Option<Fall>,
        /// Rate after the warm-up.
        peak: f64,
        /// Lower bound.
        end: f64,
        /// Steps of linear warm-up.
        warmup: u64,
        /// Length of the schedule in steps.
        steps: u64,
    },
}

/// How a rate falls from one value to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fall {
    /// A straight line.
    Linear,
    /// Half a cosine.
    Cosine,
    /// The same share lost in every step.
    Exponential,
    /// One minus the square root of the progress.
    Sqrt,
}

/// Versions of GPT-NeoX whose schedules differ from the formulas and from one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Neox {
    /// v1.0, which trained Pythia: the first update has rate 0; the fall is measured over `steps` and aims at 0; it stops where `steps - warmup`
    /// updates are done, and is cut at `end` from below.
    V1,
    /// Of May 2026: the first two updates have `peak / warmup`; the fall is measured from the warm-up on; nothing stops it after `steps`, so that
    /// a cosine climbs again.
    Y2026,
}

/// GPT-NeoX's constant of its exponential fall: ln 2, to three digits.
const HALVING: f64 = 0.693;

impl Fall {
    /// The rate between two others; `progress` goes from 0 to 1.
    pub fn between(self, from: f64, to: f64, progress: f64) -> f64 {
        match self {
            Fall::Linear => from + (to - from) * progress,
            Fall::Cosine => to + (from - to) / 2.0 * (1.0 + libm::cos(PI * progress)),
            Fall::Exponential => from * libm::pow(to / from, progress),
            Fall::Sqrt => from + (to - from) * libm::sqrt(progress),
        }
    }
}

impl Schedule {
    /// The rate used by the update of `step` (0-based).
    pub fn rate(&self, step: u64) -> f64 {
        if let Schedule::Neox {
            version,
            fall,
            peak,
            end,
            warmup,
            steps,
        } = *self
        {
            let span = [warmup as f64, steps as f64];
            return neox(version, fall, [peak, end], span, step as f64);
        }
        if let Schedule::Segment {
            from,
            to,
            begins,
            steps,
            form,
        } = *self
        {
            return falling(form, [from, to], [begins, begins + steps], step + 1);
        }
        let (peak, warmup) = self.rise();
        let done = step + 1;
        if done <= warmup {
            return peak * done as f64 / warmup as f64;
        }
        match *self {
            Schedule::Cosine { end, steps, .. } => {
                falling(Fall::Cosine, [peak, end], [warmup, steps], done)
            }
            Schedule::Linear { end, steps, .. } => {
                falling(Fall::Linear, [peak, end], [warmup, steps], done)
            }
            Schedule::Exponential { end, steps, .. } => {
                falling(Fall::Exponential, [peak, end], [warmup, steps], done)
            }
            Schedule::Wsd {
                end,
                decay,
                fall,
                steps,
                ..
            } => falling(
                fall,
                [peak, end],
                [steps.saturating_sub(decay), steps],
                done,
            ),
            Schedule::InverseSqrt { end, .. } => {
                (peak * libm::sqrt(warmup.max(1) as f64 / done as f64)).max(end)
            }
            Schedule::Constant { .. } | Schedule::Segment { .. } | Schedule::Neox { .. } => peak,
        }
    }

    /// Peak and warm-up.
    fn rise(&self) -> (f64, u64) {
        match *self {
            Schedule::Constant { peak, warmup }
            | Schedule::Cosine { peak, warmup, .. }
            | Schedule::Linear { peak, warmup, .. }
            | Schedule::Exponential { peak, warmup, .. }
            | Schedule::Wsd { peak, warmup, .. }
            | Schedule::InverseSqrt { peak, warmup, .. }
            | Schedule::Neox { peak, warmup, .. } => (peak, warmup),
            Schedule::Segment { from, .. } => (from, 0),
        }
    }
}

/// A fall between two rates and two steps, which ends at the second of them.
fn falling(fall: Fall, [from, to]: [f64; 2], [first, last]: [u64; 2], done: u64) -> f64 {
    let span = last.saturating_sub(first).max(1) as f64;
    let progress = (done.saturating_sub(first) as f64 / span).min(1.0);
    fall.between(from, to, progress)
}

/// The rate that GPT-NeoX sets for its iteration `step`.
fn neox(
    version: Neox,
    fall: Option<Fall>,
    [peak, end]: [f64; 2],
    [warmup, steps]: [f64; 2],
    step: f64,
) -> f64 {
    let (step, earliest, span, aim) = match version {
        Neox::V1 if fall.is_some() => (step.min(steps - warmup), 0.0, steps, 0.0),
        Neox::V1 => (step, 0.0, steps, 0.0),
        Neox::Y2026 => (step, 1.0, steps - warmup, end),
    };
    if warmup > 0.0 && step <= warmup {
        return peak * step.max(earliest) / warmup;
    }
    let progress = (step - warmup) / span.max(1.0);
    let rate = match fall {
        None => peak,
        Some(Fall::Linear | Fall::Sqrt) => peak * (1.0 - progress),
        Some(Fall::Cosine) => Fall::Cosine.between(peak, aim, progress),
        Some(Fall::Exponential) => peak * libm::exp(-HALVING * progress),
    };
    rate.max(end)
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

    #[test]
    fn every_fall_begins_at_the_peak_and_ends_at_the_end() {
        for fall in [Fall::Linear, Fall::Cosine, Fall::Exponential, Fall::Sqrt] {
            let schedule = Schedule::Wsd {
                peak: 1.0,
                end: 0.01,
                warmup: 10,
                decay: 20,
                fall,
                steps: 100,
            };
            assert_eq!(schedule.rate(9), 1.0);
            assert_eq!(schedule.rate(79), 1.0, "{fall:?}");
            assert!(schedule.rate(80) < 1.0, "{fall:?}");
            assert!((schedule.rate(99) - 0.01).abs() < 1e-15, "{fall:?}");
            assert!((schedule.rate(300) - 0.01).abs() < 1e-15, "{fall:?}");
        }
        let half = Fall::Exponential.between(1.0, 0.01, 0.5);
        assert!((half - 0.1).abs() < 1e-15);
    }

    #[test]
    fn an_inverse_square_root_halves_at_four_times_the_warm_up() {
        let schedule = Schedule::InverseSqrt {
            peak: 1.0,
            end: 0.3,
            warmup: 100,
        };
        assert_eq!(schedule.rate(99), 1.0);
        assert_eq!(schedule.rate(399), 0.5);
        assert_eq!(schedule.rate(9999), 0.3);
    }
}
