//! The scale of the loss: begins where it may be, stays in range, and is asked for only where there is one.

use num_rational::BigRational;

use crate::evaluate::Value;
use crate::origin::Layer;
use crate::problem::Problem;
use crate::quantity::{show, whole};
use crate::resolve::Resolver;

/// All of them.
pub fn check(resolver: &mut Resolver) {
    above_least(resolver);
    within_range(resolver);
    nothing_beside_a_fixed_one(resolver);
    logged_where_there_is_one(resolver);
}

/// A scale of the loss begins where it may be.
fn above_least(resolver: &mut Resolver) -> Option<()> {
    let initial = resolver.known("train.precision.initial_scale")?;
    let least = resolver.known("train.precision.min_scale")?;
    if initial.number()? >= least.number()? {
        return None;
    }
    let (begin, bound) = (show(initial.number()?), show(least.number()?));
    let title = format!("the loss is scaled by {begin} at first, below the least scale of {bound}");
    let (at, other) = if initial.layer == Layer::Default {
        ((least.place, format!("at least {bound}")), None)
    } else {
        (
            (initial.place, format!("begins at {begin}")),
            Some((least.place, format!("at least {bound}"))),
        )
    };
    let mut problem = Problem::error("pleach::loss_scale::least", title, at.0, at.1);
    if let Some((place, label)) = other {
        problem = problem.and(place, label);
    }
    resolver.report(problem.help(format!(
        "write `initial_scale = 65_536`, or `min_scale = {begin}`"
    )));
    None
}

/// A scale beyond what 32 bits hold makes every gradient overflow.
fn within_range(resolver: &mut Resolver) -> Option<()> {
    const MOST: u64 = 1 << 32;
    for field in ["scale", "initial_scale"] {
        let Some(scale) = resolver.known(&format!("train.precision.{field}")) else {
            continue;
        };
        let Some(value) = scale.number().filter(|value| **value > whole(MOST)) else {
            continue;
        };
        let title = format!(
            "a loss that is scaled by {} overflows in 16 bits",
            show(value)
        );
        let problem = Problem::error("pleach::loss_scale::most", title, scale.place, "above 2^32");
        resolver.report(problem.help(format!("write `{field} = 65_536`")));
    }
    None
}

/// What a scale that follows gradients does, beside one that does not.
fn nothing_beside_a_fixed_one(resolver: &mut Resolver) -> Option<()> {
    let fixed = resolver.known("train.precision.scale")?;
    let value: BigRational = fixed.number()?.clone();
    for field in ["initial_scale", "window", "hysteresis", "min_scale"] {
        let Some(other) = resolver.known(&format!("train.precision.{field}")) else {
            continue;
        };
        if other.layer == Layer::Default {
            continue;
        }
        let title = format!("a loss scale that stays {} has no `{field}`", show(&value));
        let problem = Problem::error(
            "pleach::loss_scale::fixed",
            title,
            other.place,
            "is not used",
        );
        let problem = problem.and(fixed.place, "a fixed scale");
        resolver.report(problem.help(format!("leave `{field}` out, or `scale`")));
    }
    None
}

/// `log.what` with the scale of a loss that is not scaled.
fn logged_where_there_is_one(resolver: &mut Resolver) -> Option<()> {
    let what = resolver.known("log.what")?;
    let Value::List(items) = &what.value else {
        return None;
    };
    let asked = items
        .iter()
        .any(|item| matches!(item, Value::Word(word) if word == "loss_scale"));
    let format = resolver.kind("train.precision")?;
    if !asked || format == "fp16" {
        return None;
    }
    let title = format!("in {format} the loss is not scaled, so there is no scale to log");
    let mut problem = Problem::error("pleach::log::loss_scale", title, what.place, "asks for it");
    if let Some(precision) = resolver.tree.find("train.precision") {
        problem = problem.and(resolver.tree.node(precision).place, format);
    }
    resolver.report(problem.help("leave `loss_scale` out, or write `precision = fp16`"));
    None
}
