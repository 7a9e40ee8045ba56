//! Ranks are tp × pp × dp × cp, and all GPUs are used, of the cluster or of those that `plan` asks for.

use super::Known;
use crate::problem::Problem;
use crate::resolve::Resolver;

/// Both rules.
pub fn check(resolver: &mut Resolver) {
    if fewer_than_there_are(resolver).is_some() {
        ranks_against_gpus(resolver);
    }
}

/// `gpus` of `plan` are among the cluster's.
fn fewer_than_there_are(resolver: &mut Resolver) -> Option<()> {
    let used = resolver.known("plan.gpus")?;
    let all = resolver.known("cluster.gpus")?;
    let (count, there) = (used.count()?, all.count()?);
    if count <= there {
        return Some(());
    }
    let title = format!("{count} GPUs are to be used, the cluster has {there}");
    let problem = Problem::error(
        "pleach::gpus::many",
        title,
        used.place,
        format!("{count} GPUs"),
    );
    resolver.report(problem.help(format!(
        "write `gpus = {there}`, or leave it out to use all"
    )));
    None
}

fn ranks_against_gpus(resolver: &mut Resolver) -> Option<()> {
    let used = resolver.known("plan.gpus")?;
    let gpus = used.count()?;
    let mut pinned: Vec<(&str, Known, u64)> = Vec::new();
    for name in AXES {
        if let Some(known) = resolver.known(&format!("plan.{name}"))
            && let Some(count) = known.count()
        {
            pinned.push((name, known, count));
        }
    }
    let shared = pinned.iter().any(|(name, ..)| *name == "cp") || !says_context(resolver);
    let wholly = shared && pinned.iter().filter(|(name, ..)| *name != "cp").count() == 3;
    let ranks = pinned
        .iter()
        .try_fold(1u64, |product, (_, _, count)| product.checked_mul(*count))?;
    let fits = if wholly {
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
    let title = match wholly {
        true => format!("{product} is {ranks} ranks, the cluster has {gpus} GPUs"),
        false => {
            format!("{product} is {ranks} ranks, which do not divide the cluster's {gpus} GPUs")
        }
    };
    let mut problem = Problem::error(
        "pleach::ranks::gpus",
        title,
        widest.place,
        format!("{product} = {ranks} ranks"),
    );
    let machines = match used.layer {
        crate::origin::Layer::Default => resolver.known("cluster.nodes")?,
        _ => used,
    };
    if machines.layer != crate::origin::Layer::Default {
        problem = problem.and(machines.place, format!("{gpus} GPUs"));
    }
    let help = remedy(resolver, &pinned, wholly, [gpus, ranks]);
    resolver.report(match help {
        Some(help) => problem.help(help),
        None => problem,
    });
    None
}

/// The axes of a mesh, in the order in which people write them.
const AXES: [&str; 4] = ["tp", "pp", "cp", "dp"];

/// Whether the spec says anything of context parallelism; where it does not, there is none.
pub fn says_context(resolver: &Resolver) -> bool {
    let cp = resolver.tree.find("plan.cp");
    cp.is_some_and(|id| resolver.tree.node(id).layer != crate::origin::Layer::Default)
}

/// What would make the ranks fit: the right `dp`, or the right number of nodes.
fn remedy(
    resolver: &mut Resolver,
    pinned: &[(&str, Known, u64)],
    wholly: bool,
    [gpus, ranks]: [u64; 2],
) -> Option<String> {
    let rest: u64 = pinned
        .iter()
        .filter(|(name, ..)| *name != "dp")
        .map(|(_, _, count)| count)
        .product();
    let per_node = resolver.known("cluster.gpus_per_node")?.count()?;
    let replicas = (wholly && gpus.is_multiple_of(rest))
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
