//! A learning-rate schedule falls from its peak to its end within the run, and an optimizer's parts fit together.

use num_traits::Zero;

use super::Known;
use crate::evaluate::Value;
use crate::origin::Layer;
use crate::problem::Problem;
use crate::quantity::{show, to_f64};
use crate::resolve::Resolver;

/// All of them.
pub fn check(resolver: &mut Resolver) {
    end_below_peak(resolver);
    end_above_zero(resolver);
    room_for_decay(resolver);
    momentum_for_nesterov(resolver);
}

/// A rate in the notation of rates.
fn rate(known: &Known) -> Option<String> {
    Some(format!("{:e}", to_f64(known.number()?)))
}

/// `cosine { peak = 3e-4, end = 1e-3 }`.
fn end_below_peak(resolver: &mut Resolver) -> Option<()> {
    let peak = resolver.known("train.lr.peak")?;
    let end = resolver.known("train.lr.end")?;
    if end.number()? <= peak.number()? {
        return None;
    }
    let (high, low) = (rate(&peak)?, rate(&end)?);
    let title = format!("the learning rate ends at {low}, above its peak of {high}");
    let problem = Problem::error("pleach::lr::end", title, end.place, "above the peak");
    resolver.report(
        problem
            .and(peak.place, format!("peak {high}"))
            .help("write a share of it: `end = 10% of peak`"),
    );
    None
}

/// An exponential never reaches zero.
fn end_above_zero(resolver: &mut Resolver) -> Option<()> {
    let kind = resolver.kind("train.lr")?;
    let falls = kind == "exponential"
        || kind == "wsd" && resolver.known("train.lr.shape")?.text()? == "exponential";
    let end = resolver.known("train.lr.end")?;
    let version = resolver.known("train.lr.version");
    let plain = version.is_none_or(|version| version.text() == Some("plain"));
    if !falls || !plain || !end.number()?.is_zero() {
        return None;
    }
    let place = if end.layer == Layer::Default {
        resolver.known("train.lr.shape")?.place
    } else {
        end.place
    };
    let title = "a rate that loses the same share in every step never reaches 0";
    let problem = Problem::error("pleach::lr::zero", title, place, "ends at 0");
    resolver.report(problem.help("end above it: `end = 1% of peak`; or take another shape"));
    None
}

/// Warm-up and decay lie within the schedule.
fn room_for_decay(resolver: &mut Resolver) -> Option<()> {
    let warmup = resolver.known("train.lr.warmup")?;
    let over = resolver.known("train.lr.over")?;
    let steps = resolver.known("train.steps")?;
    let decay = resolver.known("train.lr.decay");
    let zero = Zero::zero();
    let (rise, all) = (warmup.number()?, over.number()?);
    let fall = decay.as_ref().and_then(Known::number).unwrap_or(&zero);
    // A warm-up that is longer than the whole run has a message of its own.
    let longer = rise > steps.number()?;
    if longer || rise + fall <= *all {
        return None;
    }
    let (rising, length) = (show(rise), show(all));
    let (title, label, place) = match &decay {
        Some(decay) => (
            format!(
                "warm-up of {rising} and decay of {} steps do not fit into {length}",
                show(fall)
            ),
            format!("{rising} + {} = {} steps", show(fall), show(&(rise + fall))),
            if decay.layer == Layer::Default {
                warmup.place
            } else {
                decay.place
            },
        ),
        None => (
            format!("warm-up of {rising} steps does not fit into a schedule of {length}"),
            format!("{length} steps in all"),
            over.place,
        ),
    };
    let problem = Problem::error("pleach::lr::room", title, place, label);
    let problem = match &decay {
        Some(decay) if decay.layer != Layer::Default && warmup.layer != Layer::Default => {
            problem.and(warmup.place, format!("{rising} steps of warm-up"))
        }
        None if warmup.layer != Layer::Default => {
            problem.and(warmup.place, format!("{rising} steps of warm-up"))
        }
        _ => problem,
    };
    resolver.report(problem.help(match decay {
        Some(_) => {
            "write them as shares of the run: `warmup = 1% of steps, decay = last(10% of steps)`"
        }
        None => "leave `over` out: the schedule then lasts as long as the run",
    }));
    None
}

/// `sgd { momentum = 0, nesterov = true }`.
fn momentum_for_nesterov(resolver: &mut Resolver) -> Option<()> {
    let nesterov = resolver.known("train.optimizer.nesterov")?;
    let momentum = resolver.known("train.optimizer.momentum")?;
    if nesterov.value != Value::Truth(true) || !momentum.number()?.is_zero() {
        return None;
    }
    let title = "Nesterov's gradient looks ahead along the momentum, and there is none";
    let problem = Problem::error(
        "pleach::optimizer::nesterov",
        title,
        nesterov.place,
        "looks ahead",
    );
    resolver.report(
        problem
            .and(momentum.place, "momentum 0")
            .help("write `momentum = 0.9`, or `nesterov = false`"),
    );
    None
}
