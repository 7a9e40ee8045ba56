//! Signatures of the cross-entropy and its parts: logits in the type of activations, the rest in a wider one.

use super::law;
use crate::check::signature::{Misfit, Signature};

/// `(logits) -> max`.
pub fn max() -> Signature {
    Signature::new()
        .read("logits", "B S V", "T")
        .make("max", "B S", "A")
}

/// `(logits, targets, max) -> terms`.
pub fn terms() -> Signature {
    Signature::new()
        .read("logits", "B S V", "T")
        .read("targets", "B S", "ids")
        .read("max", "B S", "A")
        .make("terms", "2 B S", "A")
}

/// `(terms[, weights]; report) -> ()`.
pub fn loss(scale: f64, replicas: u64, operands: usize) -> Result<Signature, Misfit> {
    law(scale.is_finite(), "scale", scale, "it must be a number")?;
    law(replicas > 0, "replicas", replicas, "it must be at least 1")?;
    let signature = Signature::new().read("terms", "2 B S", "A");
    Ok(weighted(signature, operands > 1).update("report", "2", "R"))
}

/// `(logits, targets, max, terms[, weights]) -> dlogits`.
pub fn backward(scale: f64, operands: usize) -> Result<Signature, Misfit> {
    law(scale.is_finite(), "scale", scale, "it must be a number")?;
    let signature = Signature::new()
        .read("logits", "B S V", "T")
        .read("targets", "B S", "ids")
        .read("max", "B S", "A")
        .read("terms", "2 B S", "A");
    Ok(weighted(signature, operands > 4).make("dlogits", "B S V", "T"))
}

/// The same with a weight for each target.
fn weighted(signature: Signature, is_weighted: bool) -> Signature {
    if is_weighted {
        signature.read("weights", "B S", "A")
    } else {
        signature
    }
}
