//! The length of a run: steps, tokens and batch agree, and the warm-up fits into it.

use num_traits::One;

use crate::origin::Layer;
use crate::problem::Problem;
use crate::quantity::show;
use crate::resolve::Resolver;

/// Both rules.
pub fn check(resolver: &mut Resolver) {
    said_twice(resolver);
    warmup_fits(resolver);
}

fn said_twice(resolver: &mut Resolver) -> Option<()> {
    if resolver.phases().is_some() {
        return None;
    }
    let steps = resolver.known("train.steps")?;
    let tokens = resolver.known("train.tokens")?;
    let batch = resolver.known("train.global_batch")?;
    if steps.layer == Layer::Default || tokens.layer == Layer::Default {
        return None;
    }
    let computed = (tokens.number()? / batch.number()?).ceil();
    let difference = &computed - steps.number()?;
    if difference < One::one() && -difference < One::one() {
        return None;
    }
    let product = steps.number()? * batch.number()?;
    let (long, size, asked) = (
        show(steps.number()?),
        show(batch.number()?),
        show(tokens.number()?),
    );
    let title = "`steps`, `tokens` and `global_batch` are all set and disagree";
    let label = format!("{long} × {size} = {} tokens, not {asked}", show(&product));
    let problem = Problem::error("pleach::length::disagree", title, tokens.place, label);
    let problem = problem
        .and(steps.place, format!("{long} steps"))
        .and(batch.place, format!("{size} tokens a step"));
    resolver.report(problem.help("remove one; it will be computed"));
    None
}

fn warmup_fits(resolver: &mut Resolver) -> Option<()> {
    let warmup = resolver.known("train.lr.warmup")?;
    let steps = resolver.known("train.steps")?;
    if warmup.layer == Layer::Default || warmup.number()? <= steps.number()? {
        return None;
    }
    let (long, all) = (show(warmup.number()?), show(steps.number()?));
    let title = format!("warm-up of {long} steps is longer than the run of {all}");
    let problem = Problem::error(
        "pleach::warmup::longer",
        title,
        warmup.place,
        format!("{long} steps of warm-up"),
    );
    let problem = if steps.layer == Layer::Default {
        problem
    } else {
        problem.and(steps.place, format!("{all} steps"))
    };
    resolver.report(problem.help("write `warmup = 1% of steps`"));
    None
}
