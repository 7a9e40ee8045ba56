//! Ranks are tp × pp × dp, and all GPUs of the cluster are used.

use super::Known;
use crate::problem::Problem;
use crate::resolve::Resolver;

/// The rule.
pub fn check(resolver: &mut Resolver) {
    ranks_against_gpus(resolver);
}

fn ranks_against_gpus(resolver: &mut Resolver) -> Option<()> {
    let gpus = resolver.known("cluster.gpus")?.count()?;
    let axes = ["tp", "pp", "dp"].map(|axis| resolver.known(&format!("plan.{axis}")));
    let pinned: Vec<(&str, Known, u64)> = ["tp", "pp", "dp"]
        .into_iter()
        .zip(axes)
        .filter_map(|(name, known)| Some((name, known.clone()?, known?.count()?)))
        .collect();
    let ranks = pinned
        .iter()
        .try_fold(1u64, |product, (_, _, count)| product.checked_mul(*count))?;
    let fits = if pinned.len() == 3 {
        ranks == gpus
    } else {
        gpus.is_multiple_of(ranks)
    };
    let (_, widest, _) = pinned
        .iter()
        .max_by_key(|(name, _, count)| (*count, *name == "dp"))?;
    if fits {
        return None;
    }
    let product = pinned
        .iter()
        .map(|(name, _, count)| format!("{name} {count}"))
        .collect::<Vec<_>>()
        .join(" × ");
    let title = match pinned.len() {
        3 => format!("{product} is {ranks} ranks, the cluster has {gpus} GPUs"),
        _ => format!("{product} is {ranks} ranks, which do not divide the cluster's {gpus} GPUs"),
    };
    let mut problem = Problem::error(
        "pleach::ranks::gpus",
        title,
        widest.place,
        format!("{product} = {ranks} ranks"),
    );
    let machines = resolver.known("cluster.nodes")?;
    if machines.layer != crate::origin::Layer::Default {
        problem = problem.and(machines.place, format!("{gpus} GPUs"));
    }
    let help = remedy(resolver, &pinned, gpus, ranks);
    resolver.report(match help {
        Some(help) => problem.help(help),
        None => problem,
    });
    None
}

/// What would make the ranks fit: the right `dp`, or the right number of nodes.
fn remedy(
    resolver: &mut Resolver,
    pinned: &[(&str, Known, u64)],
    gpus: u64,
    ranks: u64,
) -> Option<String> {
    let rest: u64 = pinned
        .iter()
        .filter(|(name, ..)| *name != "dp")
        .map(|(_, _, count)| count)
        .product();
    let per_node = resolver.known("cluster.gpus_per_node")?.count()?;
    let replicas = (pinned.len() == 3 && gpus.is_multiple_of(rest))
        .then(|| format!("leave `dp = auto` ({})", gpus / rest));
    let nodes = ranks
        .is_multiple_of(per_node)
        .then(|| format!("`nodes = {}`", ranks / per_node));
    match (replicas, nodes) {
        (Some(replicas), Some(nodes)) => Some(format!("{replicas}, or {nodes}")),
        (Some(one), None) => Some(one),
        (None, Some(nodes)) => Some(format!("write {nodes}")),
        (None, None) => Some(format!("choose ranks whose product is {gpus}")),
    }
}
