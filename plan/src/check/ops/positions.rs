//! Signatures of learned positions: a table with a row for every position, and perhaps more.

use super::law;
use crate::check::signature::{Misfit, Signature};
use crate::{Axis, Plan, TensorId};

/// `(x, table) -> y`.
pub fn forward(
    plan: &Plan,
    operands: &[TensorId],
    over: Option<Axis>,
) -> Result<Signature, Misfit> {
    if let [x, table] = operands {
        rows(plan, [*x, *table], over)?;
    }
    Ok(Signature::new()
        .read("x", "B S H", "T")
        .read("table", "R H", "T")
        .make("y", "B S H", "T"))
}

/// `(dy; dtable) -> ()`.
pub fn backward(
    plan: &Plan,
    operands: [Option<TensorId>; 2],
    over: Option<Axis>,
) -> Result<Signature, Misfit> {
    if let [Some(dy), Some(table)] = operands {
        rows(plan, [dy, table], over)?;
    }
    Ok(Signature::new()
        .read("dy", "B S H", "T")
        .update("dtable", "R H", "G"))
}

/// The table has a row for the last position of the last rank.
fn rows(plan: &Plan, [x, table]: [TensorId; 2], over: Option<Axis>) -> Result<(), Misfit> {
    let size = |id: TensorId, dim: usize| {
        let tensor = plan.tensors.get(id.0 as usize);
        tensor.and_then(|tensor| tensor.dims.get(dim).copied())
    };
    let ranks = over.map_or(1, |axis| u64::from(plan.mesh.size(axis)));
    let (Some(positions), Some(rows)) = (size(x, 1), size(table, 0)) else {
        return Ok(());
    };
    let enough = positions.saturating_mul(ranks) <= rows;
    law(enough, "rows", rows, "there must be one for each position")
}
