//! What a run of an experiment writes while it trains.

/// When the run is saved (and always at its end).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoints {
    /// Every so many steps; none for only at the end.
    pub every: Option<u64>,
    /// How many to keep.
    pub keep: u32,
}

impl Checkpoints {
    /// Only at the end of the run.
    pub fn at_the_end() -> Checkpoints {
        Checkpoints {
            every: None,
            keep: 1,
        }
    }
}
