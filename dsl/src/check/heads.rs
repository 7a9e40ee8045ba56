//! Heads: the width is cut into them evenly, groups and tensor-parallel ranks share them evenly.

use num_rational::BigRational;

use super::{divisors, either};
use crate::origin::Layer;
use crate::problem::Problem;
use crate::quantity::show;
use crate::resolve::Resolver;

/// The rules, for every attention of the model.
pub fn check(resolver: &mut Resolver) {
    for attention in resolver.mixers("attention") {
        let before = resolver.problems.len();
        hidden_over_heads(resolver, &attention);
        heads_over_groups(resolver, &attention);
        if resolver.problems.len() == before {
            heads_over_ranks(resolver, &attention);
        }
    }
}

fn hidden_over_heads(resolver: &mut Resolver, attention: &str) -> Option<()> {
    let hidden = resolver.known("model.hidden")?;
    let heads = resolver.source(&format!("{attention}.heads"))?;
    let written = resolver.source_id(&format!("{attention}.head_dim"))?;
    let written = resolver.tree.node(written).layer != Layer::Default;
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

/// Heads of queries share those of keys and values evenly.
fn heads_over_groups(resolver: &mut Resolver, attention: &str) -> Option<()> {
    let heads = resolver.source(&format!("{attention}.heads"))?;
    let groups = resolver.source(&format!("{attention}.kv_heads"))?;
    let (count, shared) = (heads.count()?, groups.count()?);
    if count.is_multiple_of(shared) {
        return None;
    }
    let quotient = show(&BigRational::new(count.into(), shared.into()));
    let title = format!("{count} attention heads cannot share {shared} heads of keys and values");
    let problem = Problem::error(
        "pleach::heads::groups",
        title,
        groups.place,
        format!("{count} / {shared} = {quotient} heads a group"),
    );
    let legal: Vec<u64> = near(&divisors(count), shared);
    resolver.report(
        problem
            .and(heads.place, format!("{count} heads"))
            .help(format!("use `kv_heads` {}", either(&legal))),
    );
    None
}

fn heads_over_ranks(resolver: &mut Resolver, attention: &str) -> Option<()> {
    let heads = resolver.source(&format!("{attention}.heads"))?;
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
