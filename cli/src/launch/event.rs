//! What workers say: one JSON object a line on stdout, told apart by `event`.
//!
//! The figures of a step and the record of a failure are storage's own types, the same that stand in the run's folder. Unknown
//! events and fields are skipped, so that a worker may say more than this program understands; a line that is not JSON is
//! skipped too, because a library inside the worker may write where it should not.

use pleach_storage::run::{RankFailure, StepMetrics, Straggler};
use serde::Deserialize;

/// One line of a worker.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The ranks have met and hold the state from which the next step goes on.
    Ready {
        /// The step that comes next, counted from 0.
        step: u64,
    },
    /// A step has ended; said by rank 0.
    Step(StepMetrics),
    /// A checkpoint is complete.
    Checkpoint {
        /// Steps done when it was taken.
        step: u64,
    },
    /// A rank has fallen behind the others, or recovered; said by rank 0.
    Straggler(Straggler),
    /// This worker cannot go on.
    Failed(RankFailure),
    /// This worker has done what it was asked.
    Done {
        /// Steps done.
        step: u64,
        /// Largest resident size of the process, in bytes.
        #[serde(default)]
        peak_bytes: Option<u64>,
    },
    /// Anything newer than this program.
    #[serde(other)]
    Other,
}

/// Reads one line of a rank; none where it is not an event at all.
pub fn parse(rank: u32, line: &str) -> Option<Event> {
    let mut value: serde_json::Value = serde_json::from_str(line).ok()?;
    value
        .as_object_mut()?
        .insert("rank".to_owned(), rank.into());
    serde_json::from_value(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_and_newer_ones_skipped() {
        let step = r#"{"event":"step","step":3,"loss":"NaN","grad_norm":1.0,"lr":1e-3,"seconds":0.5,"tokens_per_s":9.0,
            "samples":24,"more":1}"#;
        assert!(
            matches!(parse(0, step), Some(Event::Step(step)) if step.step == 3 && step.loss.is_nan())
        );
        let failed = r#"{"event":"failed","message":"lost","instruction":"layer.forward[3] all_reduce","peer":1}"#;
        assert!(matches!(
            parse(2, failed),
            Some(Event::Failed(RankFailure {
                rank: 2,
                peer: Some(1),
                ..
            }))
        ));
        assert_eq!(
            parse(0, r#"{"event":"weather","sun":true}"#),
            Some(Event::Other)
        );
        assert_eq!(parse(0, "[W socket.cpp] hello"), None);
    }
}
