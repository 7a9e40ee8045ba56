//! Heads: the width is cut into them evenly, and tensor-parallel ranks share them evenly.

use num_rational::BigRational;

use super::{divisors, either};
use crate::origin::Layer;
use crate::problem::Problem;
use crate::quantity::show;
use crate::resolve::Resolver;

/// Both rules.
pub fn check(resolver: &mut Resolver) {
    let before = resolver.problems.len();
    hidden_over_heads(resolver);
    if resolver.problems.len() == before {
        heads_over_ranks(resolver);
    }
}

fn hidden_over_heads(resolver: &mut Resolver) -> Option<()> {
    let hidden = resolver.known("model.hidden")?;
    let heads = resolver.known("model.heads")?;
    let written = resolver
        .tree
        .find("model.head_dim")
        .is_some_and(|id| resolver.tree.node(id).layer != Layer::Default);
    let (width, count) = (hidden.count()?, heads.count()?);
    if written || width.is_multiple_of(count) {
        return None;
    }
    let title = format!("a width of {width} cannot be cut into {count} attention heads");
    let quotient = show(&BigRational::new(width.into(), count.into()));
    let problem = Problem::error(
        "pleach::heads::width",
        title,
        heads.place,
        format!("{width} / {count} = {quotient} wide"),
    );
    let legal = near(&divisors(width), count);
    resolver.report(
        problem
            .and(hidden.place, format!("width {width}"))
            .help(format!("use {} heads", either(&legal))),
    );
    None
}

fn heads_over_ranks(resolver: &mut Resolver) -> Option<()> {
    let heads = resolver.known("model.heads")?;
    let ranks = resolver.known("plan.tp")?;
    let (count, tp) = (heads.count()?, ranks.count()?);
    if count.is_multiple_of(tp) {
        return None;
    }
    let node = resolver
        .known("cluster.gpus_per_node")
        .and_then(|known| known.count());
    let title = format!("{count} attention heads cannot be shared by {tp} tensor-parallel ranks");
    let quotient = show(&BigRational::new(count.into(), tp.into()));
    let problem = Problem::error(
        "pleach::heads::indivisible",
        title,
        ranks.place,
        format!("{count} / {tp} = {quotient} heads per rank"),
    );
    let problem = problem.and(heads.place, format!("{count} heads"));
    let fits = |divisor: &u64| node.is_none_or(|node| node.is_multiple_of(*divisor));
    let legal: Vec<u64> = divisors(count).into_iter().filter(fits).collect();
    resolver.report(problem.help(match node {
        Some(node) => format!(
            "tp must divide heads ({count}) and fit in a node ({node} GPUs): use {}",
            either(&legal)
        ),
        None => format!(
            "tp must divide heads ({count}): use {}",
            either(&near(&legal, tp))
        ),
    }));
    None
}

/// The legal values around a wish: two below and two above.
fn near(legal: &[u64], wish: u64) -> Vec<u64> {
    let above = legal
        .iter()
        .position(|value| *value > wish)
        .unwrap_or(legal.len());
    legal[above.saturating_sub(2)..legal.len().min(above + 2)].to_vec()
}
