//! When a run is saved: in come the steps that are done, out come whether to save now and which checkpoints stay.

use serde::{Deserialize, Serialize};

/// When checkpoints are written, which of them stay, and what is in them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saving {
    /// Every so many steps; none for only at the end and at single steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<u64>,
    /// After these steps too, ascending; 0 is before the first. These stay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<u64>,
    /// How many of the others stay, the newest.
    pub keep: u32,
    /// Whether moments are left out: such a checkpoint can be used, and not gone on from.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub weights_only: bool,
    /// Whether training goes on while one is written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub background: bool,
}

impl Saving {
    /// Only at the end of the run.
    pub fn at_the_end(keep: u32) -> Self {
        Saving {
            every: None,
            also: Vec::new(),
            keep,
            weights_only: false,
            background: false,
        }
    }

    /// Whether to save when `done` of `last` steps are done.
    pub fn is_due(&self, done: u64, last: u64) -> bool {
        let regular = self
            .every
            .is_some_and(|every| every > 0 && done > 0 && done.is_multiple_of(every));
        regular || done == last || self.stays(done)
    }

    /// Whether the checkpoint of a step stays however many follow.
    pub fn stays(&self, step: u64) -> bool {
        self.also.binary_search(&step).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_steps_are_saved_and_stay() {
        let saving = Saving {
            every: Some(4),
            also: vec![0, 1, 2, 8],
            ..Saving::at_the_end(1)
        };
        let due: Vec<u64> = (0..=10).filter(|&done| saving.is_due(done, 10)).collect();
        assert_eq!(due, [0, 1, 2, 4, 8, 10]);
        assert!(saving.stays(8) && !saving.stays(4));
        assert!(!Saving::at_the_end(1).is_due(0, 10));
    }
}
