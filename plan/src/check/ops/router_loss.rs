//! Signatures of the loss on a router's logits.

use super::law;
use crate::RouterLoss;
use crate::check::signature::{Misfit, Signature};

/// `(logits, choice; report) -> ()`.
pub fn forward(loss: &RouterLoss, replicas: u64) -> Result<Signature, Misfit> {
    law(replicas > 0, "replicas", replicas, "it must be at least 1")?;
    Ok(read(loss)?.update("report", "P", "R"))
}

/// `(logits, choice) -> dlogits`.
pub fn backward(loss: &RouterLoss) -> Result<Signature, Misfit> {
    Ok(read(loss)?.make("dlogits", "B S E", "T"))
}

fn read(loss: &RouterLoss) -> Result<Signature, Misfit> {
    let numbers = [
        ("balance", loss.balance),
        ("z", loss.z),
        ("scale", loss.scale),
    ];
    for (name, number) in numbers {
        law(number.is_finite(), name, number, "it must be a number")?;
    }
    Ok(Signature::new()
        .read("logits", "B S E", "T")
        .read("choice", "B S J", "ids"))
}
