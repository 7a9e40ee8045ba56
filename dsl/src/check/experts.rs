//! Experts are spread over data- and context-parallel ranks.

use super::{Known, divisors, either};
use crate::problem::Problem;
use crate::resolve::Resolver;

/// Both rules.
pub fn check(resolver: &mut Resolver) {
    if let Some(ep) = resolver.known("plan.ep") {
        experts_over_ranks(resolver, &ep);
    }
}

fn experts_over_ranks(resolver: &mut Resolver, ep: &Known) -> Option<()> {
    let ranks = ep.count()?;
    if ranks == 1 {
        return None;
    }
    let mixtures = resolver.parts("mlp", "moe");
    let mut counts: Vec<Known> = Vec::new();
    for part in &mixtures {
        counts.push(resolver.source(&format!("{part}.experts"))?);
    }
    if counts.is_empty() {
        let title =
            format!("{ranks} expert-parallel ranks share the experts of a model that has none");
        let problem = Problem::error("pleach::experts::none", title, ep.place, "no experts");
        resolver.report(problem.help("leave `ep` out, or give the model `mlp = moe { … }`"));
        return None;
    }
    let mut all = Vec::new();
    for known in counts {
        let count = known.count()?;
        all.push(count);
        if count.is_multiple_of(ranks) {
            continue;
        }
        let title = format!("{count} experts cannot be spread over {ranks} expert-parallel ranks");
        let label = if ranks > count {
            format!("at most {count}")
        } else {
            let quotient = num_rational::BigRational::new(count.into(), ranks.into());
            format!(
                "{count} / {ranks} = {} experts a rank",
                crate::quantity::show(&quotient)
            )
        };
        let problem = Problem::error("pleach::experts::indivisible", title, ep.place, label);
        let legal = either(&divisors(count));
        resolver.report(
            problem
                .and(known.place, format!("{count} experts"))
                .help(format!("use `ep` {legal}")),
        );
        return None;
    }
    ranks_to_spread_over(resolver, ep, &all)
}

/// `ep` divides dp × cp.
fn ranks_to_spread_over(resolver: &mut Resolver, ep: &Known, experts: &[u64]) -> Option<()> {
    let ranks = ep.count()?;
    let dp = resolver.known("plan.dp")?;
    let cp = match super::ranks::says_context(resolver) {
        true => resolver.known("plan.cp")?.count()?,
        false => 1,
    };
    let share = dp.count()?.checked_mul(cp)?;
    if share.is_multiple_of(ranks) {
        return None;
    }
    let product = match cp {
        1 => format!("dp {share}"),
        cp => format!("dp {} × cp {cp}", share / cp),
    };
    let title =
        format!("{ranks} expert-parallel ranks are taken from {product}, which they do not divide");
    let problem = Problem::error(
        "pleach::experts::ranks",
        title,
        ep.place,
        format!("{share} / {ranks} is not whole"),
    );
    let fits = |legal: &u64| experts.iter().all(|count| count.is_multiple_of(*legal));
    let legal: Vec<u64> = divisors(share).into_iter().filter(fits).collect();
    resolver.report(
        problem
            .and(dp.place, format!("{share} ranks"))
            .help(format!("use `ep` {}", either(&legal))),
    );
    None
}
