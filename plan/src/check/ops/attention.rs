//! Signatures of attention: heads apart on the way in, joined on the way out. Keys and values may have fewer heads than queries.

use super::{law, times};
use crate::check::signature::{Misfit, Signature};
use crate::{Plan, Scores};

/// `(q, k, v) -> (o, lse)`.
pub fn forward(plan: &Plan, scores: &Scores) -> Result<Signature, Misfit> {
    let [queries, keys, joined, rows] = patterns(plan, scores)?;
    Ok(Signature::new()
        .read("q", &queries, "T")
        .read("k", &keys, "T")
        .read("v", &keys, "T")
        .make("o", &joined, "T")
        .make("lse", &rows, "L"))
}

/// `(do, q, k, v, o, lse) -> (dq, dk, dv)`.
pub fn backward(plan: &Plan, scores: &Scores) -> Result<Signature, Misfit> {
    let [queries, keys, joined, rows] = patterns(plan, scores)?;
    Ok(Signature::new()
        .read("do", &joined, "T")
        .read("q", &queries, "T")
        .read("k", &keys, "T")
        .read("v", &keys, "T")
        .read("o", &joined, "T")
        .read("lse", &rows, "L")
        .make("dq", &queries, "T")
        .make("dk", &keys, "T")
        .make("dv", &keys, "T"))
}

/// Queries, keys, the joined output, and the statistic.
fn patterns(plan: &Plan, scores: &Scores) -> Result<[String; 4], Misfit> {
    let group = scores.group;
    law(group > 0, "group", group, "it must be at least 1")?;
    let window = scores.window.unwrap_or(1);
    law(window > 0, "window", window, "it must be at least 1")?;
    let heads = match scores.alibi {
        None => None,
        Some(alibi) => {
            let ranks = alibi.over.map_or(1, |axis| plan.mesh.size(axis));
            let fits = alibi.heads.is_multiple_of(u64::from(ranks) * group);
            let rule = "it must be a multiple of the group and of the ranks that share it";
            law(fits && alibi.heads > 0, "heads", alibi.heads, rule)?;
            Some(alibi.heads / u64::from(ranks))
        }
    };
    Ok(match heads {
        None => {
            let own = times("A", group);
            let joined = match group {
                1 => "B S A*D".to_owned(),
                _ => format!("B S A*D*{group}"),
            };
            let queries = format!("B {own} S D");
            [queries, "B A S D".to_owned(), joined, format!("B {own} S")]
        }
        Some(heads) => [
            format!("B {heads} S D"),
            format!("B {} S D", heads / group),
            format!("B S D*{heads}"),
            format!("B {heads} S"),
        ],
    })
}
