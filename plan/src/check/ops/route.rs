//! Signatures of the router: logits in the type of activations, what is chosen as ids, weights in a wider type.

use super::law;
use crate::check::signature::{Misfit, Signature};
use crate::{Instr, Plan, Route};

/// `(logits) -> (weights, choice)`.
pub fn forward(plan: &Plan, instr: &Instr, route: &Route) -> Result<Signature, Misfit> {
    let chosen = chosen(plan, instr, 0, route)?;
    Ok(Signature::new()
        .read("logits", "B S E", "T")
        .make("weights", &chosen, "A")
        .make("choice", &chosen, "ids"))
}

/// `(dweights, logits, choice) -> dlogits`.
pub fn backward(plan: &Plan, instr: &Instr, route: &Route) -> Result<Signature, Misfit> {
    let chosen = chosen(plan, instr, 1, route)?;
    Ok(Signature::new()
        .read("dweights", &chosen, "T")
        .read("logits", "B S E", "T")
        .read("choice", &chosen, "ids")
        .make("dlogits", "B S E", "T"))
}

/// The pattern of what is chosen: no more experts than there are.
fn chosen(plan: &Plan, instr: &Instr, logits: usize, route: &Route) -> Result<String, Misfit> {
    let active = route.active;
    law(active > 0, "active", active, "it must be at least 1")?;
    let logits = instr.ins.get(logits).map(|id| &plan.tensors[id.0 as usize]);
    let experts = logits.and_then(|logits| logits.dims.last());
    let enough = experts.is_none_or(|&experts| active <= experts);
    law(enough, "active", active, "there must be as many experts")?;
    Ok(format!("B S {active}"))
}
