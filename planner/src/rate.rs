//! The learning rate of an experiment as the plan says it.

use pleach_dsl::experiment::{Decay, LearningRate, Shape, Version};
use pleach_plan::Schedule;
use pleach_plan::schedule::{Fall, Neox};

/// The schedule of a run.
pub fn schedule(lr: &LearningRate) -> Schedule {
    let LearningRate { peak, warmup, .. } = *lr;
    let neox = |version: Neox| {
        let (fall, end, steps) = fall(lr.shape);
        Schedule::Neox {
            version,
            fall,
            peak,
            end,
            warmup,
            steps,
        }
    };
    match lr.version {
        Version::NeoxV1 => neox(Neox::V1),
        Version::Neox2026 => neox(Neox::Y2026),
        Version::Plain => plain(lr.shape, peak, warmup),
    }
}

fn plain(shape: Shape, peak: f64, warmup: u64) -> Schedule {
    match shape {
        Shape::Constant => Schedule::Constant { peak, warmup },
        Shape::Linear { end, over: steps } => Schedule::Linear {
            peak,
            end,
            warmup,
            steps,
        },
        Shape::Cosine { end, over: steps } => Schedule::Cosine {
            peak,
            end,
            warmup,
            steps,
        },
        Shape::Exponential { end, over: steps } => Schedule::Exponential {
            peak,
            end,
            warmup,
            steps,
        },
        Shape::Wsd {
            end,
            decay,
            shape,
            over: steps,
        } => Schedule::Wsd {
            peak,
            end,
            warmup,
            decay,
            fall: form(shape),
            steps,
        },
        Shape::InverseSqrt { end } => Schedule::InverseSqrt { peak, end, warmup },
    }
}

fn form(decay: Decay) -> Fall {
    match decay {
        Decay::Linear => Fall::Linear,
        Decay::Cosine => Fall::Cosine,
        Decay::Exponential => Fall::Exponential,
        Decay::Sqrt => Fall::Sqrt,
    }
}

/// The fall of a shape that GPT-NeoX has, its lower bound and its length.
fn fall(shape: Shape) -> (Option<Fall>, f64, u64) {
    match shape {
        Shape::Linear { end, over } => (Some(Fall::Linear), end, over),
        Shape::Cosine { end, over } => (Some(Fall::Cosine), end, over),
        Shape::Exponential { end, over } => (Some(Fall::Exponential), end, over),
        Shape::Wsd { end, over, .. } => (None, end, over),
        Shape::InverseSqrt { end } => (None, end, 0),
        Shape::Constant => (None, 0.0, 0),
    }
}
