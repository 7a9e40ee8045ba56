//! Signatures of collectives: what a member gives and gets, by the size of its group.

use crate::check::signature::{Misfit, Signature};
use crate::{GroupId, Plan};

/// `(x) -> y`, or `(; x) -> ()`.
pub fn all_reduce(updates: usize) -> Signature {
    match updates {
        0 => Signature::new()
            .read_all("x", "X", "T")
            .make_all("y", "X", "T"),
        _ => Signature::new().update_all("x", "X", "T"),
    }
}

/// `(x) -> y`, or `(x; y) -> ()`.
pub fn all_gather(
    plan: &Plan,
    group: GroupId,
    dim: usize,
    updates: usize,
) -> Result<Signature, Misfit> {
    let piece = Signature::new().read_cut("x", "Y", dim, members(plan, group)?);
    Ok(match updates {
        0 => piece.make_all("y", "Y", "T"),
        _ => piece.update_all("y", "Y", "T"),
    })
}

/// `(x) -> y`.
pub fn reduce_scatter(plan: &Plan, group: GroupId, dim: usize) -> Result<Signature, Misfit> {
    Ok(Signature::new()
        .read_all("x", "X", "T")
        .make_cut("y", "X", dim, members(plan, group)?))
}

fn members(plan: &Plan, group: GroupId) -> Result<u64, Misfit> {
    let known = plan.groups.get(group.0 as usize);
    let unknown = || Misfit::Attribute {
        name: "group",
        value: group.0.to_string(),
        law: "the plan has no such group",
    };
    Ok(u64::from(plan.mesh.group_size(known.ok_or_else(unknown)?)))
}
