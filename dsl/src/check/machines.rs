//! The cluster's own arithmetic: all nodes are full, and `nodes`, `gpus_per_node` and `gpus` agree.

use num_rational::BigRational;

use crate::origin::Layer;
use crate::problem::Problem;
use crate::quantity::show;
use crate::resolve::{Resolver, not_yet};

/// The rule.
pub fn check(resolver: &mut Resolver) {
    full_nodes(resolver);
}

fn full_nodes(resolver: &mut Resolver) -> Option<()> {
    let gpus = resolver.known("cluster.gpus")?;
    let per_node = resolver.known("cluster.gpus_per_node")?;
    let (all, each) = (gpus.count()?, per_node.count()?);
    if gpus.layer == Layer::Default {
        return None;
    }
    if !all.is_multiple_of(each) {
        let quotient = show(&BigRational::new(all.into(), each.into()));
        let title = format!("{all} GPUs do not fill nodes of {each}");
        let problem = Problem::error(
            "pleach::cluster::nodes",
            title,
            gpus.place,
            format!("{all} / {each} = {quotient} nodes"),
        );
        let below = all / each * each;
        let near = if below == 0 {
            each.to_string()
        } else {
            format!("{below} or {}", below + each)
        };
        resolver.report(
            problem
                .and(per_node.place, format!("{each} in a node"))
                .help(format!("use {near} GPUs")),
        );
        return None;
    }
    let nodes = resolver.known("cluster.nodes")?;
    if nodes.count()? * each != all {
        let problem = not_yet("leaving GPUs idle", gpus.place)
            .and(nodes.place, format!("{} nodes of {each}", nodes.count()?));
        resolver.report(problem.help("give `nodes` or `gpus`; the other is computed"));
    }
    None
}
