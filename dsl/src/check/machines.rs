//! The cluster's own arithmetic: all nodes are full, and `nodes`, `gpus_per_node` and `gpus` agree.

use num_rational::BigRational;

use crate::origin::Layer;
use crate::problem::Problem;
use crate::quantity::show;
use crate::resolve::Resolver;
use crate::typed::cluster;

/// The rule.
pub fn check(resolver: &mut Resolver) {
    full_nodes(resolver);
    choices(resolver);
}

/// Where the number of GPUs is left open, each choice fills whole nodes, and the number of nodes follows from it.
fn choices(resolver: &mut Resolver) -> Option<()> {
    let id = resolver.tree.find("cluster.gpus")?;
    let each = resolver.known("cluster.gpus_per_node")?.count()?;
    let choices = cluster::choices(resolver, "cluster.gpus")?;
    let place = resolver.tree.node(id).place;
    if let Some(odd) = choices.iter().find(|gpus| !gpus.is_multiple_of(each)) {
        let quotient = show(&BigRational::new((*odd).into(), each.into()));
        let title = format!("{odd} GPUs do not fill nodes of {each}");
        let label = format!("{odd} / {each} = {quotient} nodes");
        let problem = Problem::error("pleach::cluster::nodes", title, place, label);
        resolver.report(problem.help("leave `nodes` open instead: `nodes in 4..16`"));
        return None;
    }
    let nodes = resolver.tree.find("cluster.nodes")?;
    if resolver.tree.node(nodes).layer != Layer::Default {
        let title = "`gpus` is left open, and `nodes` is set";
        let problem = Problem::error("pleach::cluster::nodes", title, place, "left open");
        let other = resolver.tree.node(nodes).place;
        resolver.report(problem.and(other, "set here").help("keep one of them"));
    }
    None
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
    let count = nodes.count()?;
    let filled = u128::from(count) * u128::from(each);
    if filled != u128::from(all) {
        let nodes_of = format!(
            "{count} node{} of {each}",
            if count == 1 { "" } else { "s" }
        );
        let title = format!(
            "{nodes_of} {} {filled} GPUs, not {all}",
            if count == 1 { "is" } else { "are" }
        );
        let label = format!("{all} GPUs");
        let problem = Problem::error("pleach::cluster::nodes", title, gpus.place, label);
        let problem = problem.and(nodes.place, nodes_of);
        let idle = if u128::from(all) < filled {
            format!("; to leave GPUs idle, write `plan {{ gpus = {all} }}`")
        } else {
            String::new()
        };
        resolver.report(problem.help(format!("give one of them; the other is computed{idle}")));
    }
    None
}
