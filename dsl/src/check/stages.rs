//! Pipeline stages hold equally many layers, unless it is said how many each holds or that they need not.

use num_rational::BigRational;

use super::{divisors, either};
use crate::problem::Problem;
use crate::quantity::show;
use crate::resolve::Resolver;

/// The rule.
pub fn check(resolver: &mut Resolver) {
    layers_over_stages(resolver);
}

fn layers_over_stages(resolver: &mut Resolver) -> Option<()> {
    let layers = resolver.known("model.layers")?;
    let stages = resolver.known("plan.pp")?;
    let (count, pp) = (layers.count()?, stages.count()?);
    let written = resolver.known("plan.stages");
    if written.is_some_and(|written| written.text() != Some("even")) {
        return None;
    }
    if count.is_multiple_of(pp) {
        return None;
    }
    let title = format!("{count} layers cannot be cut into {pp} equal stages");
    let quotient = show(&BigRational::new(count.into(), pp.into()));
    let problem = Problem::error(
        "pleach::layers::indivisible",
        title,
        stages.place,
        format!("{count} / {pp} = {quotient} layers per stage"),
    );
    let problem = problem.and(layers.place, format!("{count} layers"));
    let legal = either(&fitting(count, resolver));
    resolver.report(problem.help(format!("use `pp` {legal}, or `stages = uneven`")));
    None
}

/// Stage counts that divide the layers and, with the tensor-parallel ranks, the GPUs.
fn fitting(layers: u64, resolver: &mut Resolver) -> Vec<u64> {
    let gpus = resolver.known("plan.gpus").and_then(|known| known.count());
    let tp = resolver
        .known("plan.tp")
        .and_then(|known| known.count())
        .unwrap_or(1);
    let dp = resolver.known("plan.dp").and_then(|known| known.count());
    let fits = |pp: &u64| {
        gpus.is_none_or(|gpus| match dp {
            Some(dp) => gpus == pp * tp * dp,
            None => gpus.is_multiple_of(pp * tp),
        })
    };
    let all = divisors(layers);
    let legal: Vec<u64> = all.iter().copied().filter(fits).collect();
    if legal.is_empty() { all } else { legal }
}
