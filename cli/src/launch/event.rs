//! What workers say: one JSON object a line on stdout, told apart by `event`.
//!
//! Unknown events and fields are skipped, so that a worker may say more than this program understands; a line that is not
//! JSON is kept as a note, because a library inside the worker may write where it should not.

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
    /// A step has ended.
    Step(Step),
    /// A checkpoint is complete.
    Checkpoint {
        /// Steps done when it was taken.
        step: u64,
    },
    /// This worker cannot go on.
    Failed(Record),
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

/// The figures of a step, said by rank 0.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Step {
    /// Steps done, counting this one.
    pub step: u64,
    /// Mean loss of the step.
    pub loss: f64,
    /// Gradient norm before clipping.
    pub grad_norm: f64,
    /// Seconds it took.
    pub seconds: f64,
    /// Tokens of the global batch over `seconds`.
    pub tokens_per_s: f64,
    /// Resident size of the process, in bytes.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
}

/// Why and where a worker stopped: the failure record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Record {
    /// Stable code, where there is one: `pleach::worker::peer_lost`.
    #[serde(default)]
    pub code: Option<String>,
    /// One sentence.
    pub message: String,
    /// The step in which it happened.
    #[serde(default)]
    pub step: Option<u64>,
    /// The instruction, as text: `layer.forward[12] all_reduce, layer 3, micro-batch 1`.
    #[serde(default)]
    pub instruction: Option<String>,
    /// The rank on the other side.
    #[serde(default)]
    pub peer: Option<u32>,
    /// What to do about it.
    #[serde(default)]
    pub help: Option<String>,
}

/// Reads one line; none where it is not an event at all.
pub fn parse(line: &str) -> Option<Event> {
    serde_json::from_str(line).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_and_newer_ones_skipped() {
        let step = r#"{"event":"step","step":3,"loss":5.5,"grad_norm":1.0,"seconds":0.5,"tokens_per_s":9.0,"more":1}"#;
        assert!(matches!(
            parse(step),
            Some(Event::Step(Step {
                step: 3,
                memory_bytes: None,
                ..
            }))
        ));
        let failed = r#"{"event":"failed","message":"lost","instruction":"layer.forward[3] all_reduce","peer":1}"#;
        assert!(matches!(
            parse(failed),
            Some(Event::Failed(Record { peer: Some(1), .. }))
        ));
        assert_eq!(
            parse(r#"{"event":"weather","sun":true}"#),
            Some(Event::Other)
        );
        assert_eq!(parse("[W socket.cpp] hello"), None);
    }
}
