//! What a run does about steps that are not finite: in comes whether a step was, out come the next step's loss scale and how many
//! updates were made. Plain arithmetic on figures that all ranks have alike, so that all of them decide alike without a word.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// What follows a step whose loss is not finite, or whose gradients are not with nothing to blame but the step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum NotFinite {
    /// The run is saved as it was before the step, and ends.
    #[default]
    Halt,
    /// The step's update is left out.
    Skip {
        /// So many steps one behind the other; at the next the run ends.
        in_a_row: u64,
    },
    /// The run goes back to its last checkpoint; a step that is not finite again is left out.
    RollBack {
        /// So often; at the next the run ends.
        times: u64,
    },
}

impl NotFinite {
    pub(crate) fn is_usual(&self) -> bool {
        *self == NotFinite::default()
    }
}

/// How the loss is multiplied before gradients are taken in a format of small range. Powers of two change no digit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaling {
    /// The first step's scale.
    pub initial: f64,
    /// How it follows the gradients; none where it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moving: Option<Moving>,
}

/// How a loss scale follows the gradients, as Megatron-LM's does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moving {
    /// Steps without overflow after which it doubles.
    pub window: u64,
    /// Overflows before it is halved.
    pub hysteresis: u64,
    /// It never falls below this.
    pub least: f64,
}

/// How a run stands with its loss scale and its updates. Part of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Guard {
    /// What the next step's loss is multiplied with; 1 where it is not.
    pub scale: f64,
    /// Steps without overflow since it moved or one overflowed.
    pub clean: u64,
    /// Overflows before it is halved.
    pub left: u64,
    /// Steps whose update was left out, over the whole run.
    pub skipped: u64,
}

/// What a run counts where it leaves steps out or goes back for them. Part of a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Steps one behind the other whose update was left out.
    pub in_a_row: u64,
    /// The steps (from 0) that the run went back for.
    pub again: BTreeSet<u64>,
    /// How often it went back for weights that were not finite.
    pub spoilt: u64,
}

impl Counts {
    /// How often the run went back.
    pub fn times(&self) -> u64 {
        self.again.len() as u64 + self.spoilt
    }

    /// Whether there is nothing to tell.
    pub fn is_none(&self) -> bool {
        *self == Counts::default()
    }
}

/// All that a run keeps of steps that are not finite, from one step to the next.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Loss scale and updates.
    pub guard: Guard,
    /// What is counted.
    pub counts: Counts,
}

impl Standing {
    /// Before the first step.
    pub fn new(scaling: Option<&Scaling>) -> Standing {
        Standing {
            guard: Guard::new(scaling),
            counts: Counts::default(),
        }
    }
}

impl Guard {
    /// Before the first step.
    pub fn new(scaling: Option<&Scaling>) -> Guard {
        let moving = scaling.and_then(|scaling| scaling.moving);
        Guard {
            scale: scaling.map_or(1.0, |scaling| scaling.initial),
            clean: 0,
            left: moving.map_or(0, |moving| moving.hysteresis),
            skipped: 0,
        }
    }

    /// A step is done.
    pub fn pass(&mut self, is_finite: bool, scaling: Option<&Scaling>) {
        self.skipped += u64::from(!is_finite);
        let Some(moving) = scaling.and_then(|scaling| scaling.moving) else {
            return;
        };
        if is_finite {
            self.clean += 1;
            if self.clean == moving.window {
                (self.clean, self.left) = (0, moving.hysteresis);
                self.scale *= 2.0;
            }
            return;
        }
        self.clean = 0;
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            self.scale = (self.scale / 2.0).max(moving.least);
        }
    }

    /// Whether a step that is not finite is a matter of the scale, which can still fall.
    pub fn can_fall(&self, scaling: Option<&Scaling>) -> bool {
        let moving = scaling.and_then(|scaling| scaling.moving);
        moving.is_some_and(|moving| self.scale > moving.least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scales(hysteresis: u64, steps: &[bool]) -> Vec<f64> {
        let moving = Moving {
            window: 3,
            hysteresis,
            least: 2.0,
        };
        let scaling = Scaling {
            initial: 8.0,
            moving: Some(moving),
        };
        let mut guard = Guard::new(Some(&scaling));
        let mut passed = |&is_finite: &bool| {
            guard.pass(is_finite, Some(&scaling));
            guard.scale
        };
        steps.iter().map(&mut passed).collect()
    }

    #[test]
    fn the_scale_doubles_after_a_window_and_is_halved_after_overflows() {
        let (good, bad) = (true, false);
        let steps = [
            good, good, good, good, bad, good, bad, bad, good, good, good,
        ];
        let wanted = [8.0, 8.0, 16.0, 16.0, 16.0, 16.0, 8.0, 4.0, 4.0, 4.0, 8.0];
        assert_eq!(scales(2, &steps), wanted);
    }

    #[test]
    fn the_scale_never_falls_below_the_least() {
        assert_eq!(scales(1, &[false; 4]), [4.0, 2.0, 2.0, 2.0]);
    }

    #[test]
    fn without_a_scale_only_what_was_left_out_is_counted() {
        let mut guard = Guard::new(None);
        guard.pass(false, None);
        guard.pass(true, None);
        assert_eq!((guard.scale, guard.skipped), (1.0, 1));
    }
}
