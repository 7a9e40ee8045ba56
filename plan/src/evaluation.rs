//! When the loss is measured on text that is held out, and on how much of it.

use serde::{Deserialize, Serialize};

/// A part of the data that is not trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldOut {
    /// For the way.
    Validation,
    /// For the end.
    Test,
}

/// When the loss is measured, and on what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Every so many steps; none for not on the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<u64>,
    /// Whether after the last step too.
    pub at_end: bool,
    /// Global batches each time, the same ones.
    pub batches: u64,
    /// The part.
    pub part: HeldOut,
}

impl Evaluation {
    /// Whether to measure when `done` of the run's `steps` are done.
    pub fn is_due(&self, done: u64, steps: u64) -> bool {
        let regular = self
            .every
            .is_some_and(|every| every > 0 && done.is_multiple_of(every));
        regular || self.at_end && done == steps
    }

    /// How often it is due on the way behind the steps `after + 1` to `last`, and whether once more because the last one ends the run.
    pub fn times(&self, after: u64, last: u64) -> (u64, bool) {
        let Some(every) = self.every.filter(|&every| every > 0) else {
            return (0, self.at_end);
        };
        let once_more = self.at_end && !last.is_multiple_of(every);
        (last / every - after / every, once_more)
    }
}
