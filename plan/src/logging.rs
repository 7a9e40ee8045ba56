//! What a run writes of its steps: which of them, which figures, in which files.

use serde::{Deserialize, Serialize};

/// A figure of a step that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// The mean loss.
    Loss,
    /// The learning rate.
    Lr,
    /// The norm of the gradient.
    GradNorm,
    /// Tokens a second.
    Throughput,
    /// The largest resident size.
    Memory,
    /// What the loss is multiplied with before gradients are taken.
    LossScale,
    /// The norm of all parameters behind the update.
    ParamNorm,
    /// The part of a device's peak that the model's own products take.
    Utilization,
}

impl Figure {
    /// All of them, as specs order them.
    pub const ALL: [Figure; 8] = [
        Figure::Loss,
        Figure::Lr,
        Figure::GradNorm,
        Figure::Throughput,
        Figure::Memory,
        Figure::LossScale,
        Figure::ParamNorm,
        Figure::Utilization,
    ];

    /// Those that are written where nothing is said.
    pub const USUAL: [Figure; 5] = [
        Figure::Loss,
        Figure::Lr,
        Figure::GradNorm,
        Figure::Throughput,
        Figure::Memory,
    ];

    /// The figure that a spec calls so.
    pub fn find(name: &str) -> Option<Figure> {
        Figure::ALL.into_iter().find(|own| own.in_specs() == name)
    }

    /// Its name in a spec.
    pub fn in_specs(self) -> &'static str {
        match self {
            Figure::Loss => "loss",
            Figure::Lr => "lr",
            Figure::GradNorm => "grad_norm",
            Figure::Throughput => "throughput",
            Figure::Memory => "memory",
            Figure::LossScale => "loss_scale",
            Figure::ParamNorm => "param_norm",
            Figure::Utilization => "utilization",
        }
    }

    /// Its name in whatever is written.
    pub fn written(self) -> &'static str {
        match self {
            Figure::Throughput => "tokens_per_s",
            Figure::Memory => "memory_bytes",
            _ => self.in_specs(),
        }
    }
}

/// What is written of the steps of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logging {
    /// Every so many steps, and of the last.
    pub every: u64,
    /// The figures.
    pub figures: Vec<Figure>,
    /// Whether as lines of JSON, in `metrics.jsonl`.
    pub lines: bool,
    /// Whether as events that TensorBoard reads, in `tensorboard/`.
    pub tensorboard: bool,
}

impl Default for Logging {
    fn default() -> Self {
        Logging {
            every: 1,
            figures: Figure::USUAL.to_vec(),
            lines: true,
            tensorboard: false,
        }
    }
}

impl Logging {
    /// Whether it is what a run does that says nothing of it.
    pub fn is_usual(&self) -> bool {
        *self == Logging::default()
    }

    /// Whether the step that makes `done` of `last` is written.
    pub fn is_due(&self, done: u64, last: u64) -> bool {
        done.is_multiple_of(self.every.max(1)) || done == last
    }

    /// Whether a figure is written, by its name there.
    pub fn has(&self, written: &str) -> bool {
        let known = Figure::ALL.into_iter().find(|own| own.written() == written);
        known.is_none_or(|own| self.figures.contains(&own))
    }
}
