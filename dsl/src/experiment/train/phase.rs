//! A phase of a curriculum.

use super::super::Dataset;
use super::Decay;

/// A part of a run with its own data, context, batch and learning rate.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// Its steps.
    pub steps: u64,
    /// Tokens of all its steps: at least the length that was asked for.
    pub tokens: u64,
    /// What it trains on.
    pub data: Dataset,
    /// Length of its sequences, in tokens.
    pub context: u64,
    /// Sequences of a step.
    pub global_batch: u64,
    /// How the learning rate goes on.
    pub rate: Rate,
}

/// The learning rate of a phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// That of the whole run, by the steps of the run.
    Whole,
    /// A way from one rate to another, which neighbouring phases may share.
    Segment(Segment),
}

/// A way of the learning rate from one value to another over some steps of the run: after its last step the rate is `to`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    /// The step of the run at which it begins.
    pub begins: u64,
    /// Its steps, those of all phases that keep it.
    pub steps: u64,
    /// Rate at its beginning; none for where the rate was.
    pub from: Option<f64>,
    /// Rate at its end; none for the rate at its beginning.
    pub to: Option<f64>,
    /// The way.
    pub shape: Decay,
}

/// Which part of a run a training is: what planning makes of each phase in turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The phase's name.
    pub name: String,
    /// Steps of the run before it.
    pub steps: u64,
    /// Samples of the run before it.
    pub samples: u64,
    /// Its way of the learning rate, both ends known; none for that of the whole run.
    pub segment: Option<Segment>,
}
