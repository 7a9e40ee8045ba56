//! What a run of an experiment does beside training.

use super::Dataset;

/// When the run is saved (and always at its end).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoints {
    /// Every so many steps; none for only at the end.
    pub every: Option<u64>,
    /// After these steps too, ascending; 0 is before the first.
    pub also: Vec<u64>,
    /// How many to keep; none for all.
    pub keep: Option<u64>,
    /// Whether the optimizer's state is saved.
    pub optimizer: bool,
    /// Whether training goes on meanwhile.
    pub background: bool,
}

impl Checkpoints {
    /// Only at the end of the run.
    pub fn at_the_end() -> Checkpoints {
        Checkpoints {
            every: None,
            also: Vec::new(),
            keep: Some(1),
            optimizer: true,
            background: false,
        }
    }
}

/// What the run writes of its steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Every so many steps.
    pub every: u64,
    /// The figures by name.
    pub what: Vec<String>,
    /// The forms they are written in.
    pub to: Vec<String>,
}

impl Default for Log {
    fn default() -> Log {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        Log {
            every: 1,
            what: words(&["loss", "lr", "grad_norm", "throughput", "memory"]),
            to: words(&["jsonl"]),
        }
    }
}

/// When the loss is measured on text that is not trained on.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluate {
    /// Every so many steps; none for never on the way.
    pub every: Option<u64>,
    /// Whether the finished model is measured.
    pub at_end: bool,
    /// Global batches each time.
    pub batches: u64,
    /// The part of the data: `validation` or `test`.
    pub split: String,
    /// Another dataset than the one that is trained on.
    pub data: Option<Dataset>,
}

impl Default for Evaluate {
    fn default() -> Evaluate {
        Evaluate {
            every: None,
            at_end: false,
            batches: 100,
            split: "validation".to_string(),
            data: None,
        }
    }
}
