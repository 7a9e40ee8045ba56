//! The learning rate of an experiment as the plan says it.

use pleach_dsl::experiment::{Decay, LearningRate, Rate, Segment, Shape, Train, Version};
use pleach_plan::Schedule;
use pleach_plan::schedule::{Fall, Neox};

/// The schedule of a run without phases, or of a phase by the steps of its run.
pub fn schedule(train: &Train) -> Schedule {
    let segment = train.part.as_ref().and_then(|part| part.segment);
    if let Some(segment) = segment {
        let [from, to] = ends(train, &segment);
        return Schedule::Segment {
            from,
            to,
            begins: segment.begins,
            steps: segment.steps,
            form: form(segment.shape),
        };
    }
    let lr = train.lr.as_ref();
    whole(lr.expect("a phase without a rate of its own has that of the whole run"))
}

/// The rate of the update of a step, counted from 0, with or without phases.
pub fn of_step(train: &Train, step: u64) -> f64 {
    let mut begins = 0;
    for phase in &train.phases {
        begins += phase.steps;
        if step < begins {
            return match phase.rate {
                Rate::Whole => of_whole(train, step),
                Rate::Segment(segment) => of_segment(train, &segment, step),
            };
        }
    }
    match train.phases.last().map(|phase| phase.rate) {
        Some(Rate::Segment(segment)) => of_segment(train, &segment, step),
        Some(Rate::Whole) | None => of_whole(train, step),
    }
}

fn of_whole(train: &Train, step: u64) -> f64 {
    train.lr.as_ref().map_or(0.0, |lr| whole(lr).rate(step))
}

/// A segment's last step has the rate `to`, as a warm-up's last step has the peak.
fn of_segment(train: &Train, segment: &Segment, step: u64) -> f64 {
    let [from, to] = ends(train, segment);
    let (begins, steps, form) = (segment.begins, segment.steps, form(segment.shape));
    let schedule = Schedule::Segment {
        from,
        to,
        begins,
        steps,
        form,
    };
    schedule.rate(step)
}

/// The rates at both ends of a segment: where the rate was before it, and where it goes.
pub fn ends(train: &Train, segment: &Segment) -> [f64; 2] {
    let before = || match segment.begins {
        0 => 0.0,
        begins => of_step(train, begins - 1),
    };
    let from = segment.from.unwrap_or_else(before);
    [from, segment.to.unwrap_or(from)]
}

fn whole(lr: &LearningRate) -> Schedule {
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
