//! The learning rate over the run. What rate a step has is `Schedule::rate` of the plan's crate, so that plan and run cannot differ.

/// A schedule over the run: a linear warm-up to a peak, then a shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LearningRate {
    /// Rate after the warm-up.
    pub peak: f64,
    /// Steps of warm-up.
    pub warmup: u64,
    /// What comes after it.
    pub shape: Shape,
    /// Whose numbers.
    pub version: Version,
}

/// What a schedule does after its warm-up. `over` counts from the beginning of the run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// The peak for ever.
    Constant,
    /// A straight line.
    Linear {
        /// Rate at the end.
        end: f64,
        /// Step of the end.
        over: u64,
    },
    /// Half a cosine.
    Cosine {
        /// Rate at the end.
        end: f64,
        /// Step of the end.
        over: u64,
    },
    /// The same share lost in every step.
    Exponential {
        /// Rate at the end; in the versions of GPT-NeoX a lower bound.
        end: f64,
        /// Step of the end.
        over: u64,
    },
    /// The peak, and a decay in the last steps.
    Wsd {
        /// Rate at the end.
        end: f64,
        /// Steps of decay.
        decay: u64,
        /// How it falls.
        shape: Decay,
        /// Step of the end.
        over: u64,
    },
    /// As one over the square root of the steps done.
    InverseSqrt {
        /// Lower bound.
        end: f64,
    },
}

/// How a decay falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decay {
    /// A straight line.
    Linear,
    /// Half a cosine.
    Cosine,
    /// The same share lost in every step.
    Exponential,
    /// One minus the square root of the progress.
    Sqrt,
}

/// Whose numbers a schedule gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The first update has `peak / warmup`, update `over` has `end`, and so have all later ones.
    Plain,
    /// GPT-NeoX v1.0, which trained Pythia: the first update has rate 0; the decay is measured over `over` steps and aims at 0; it stops where
    /// `over - warmup` updates are done, and is cut at `end` from below.
    NeoxV1,
    /// GPT-NeoX of May 2026: the first two updates have `peak / warmup`; the decay is measured from the warm-up on; nothing stops it after `over`,
    /// so that a cosine climbs again.
    Neox2026,
}
