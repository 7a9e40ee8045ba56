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

/// `(terms; report) -> ()`.
pub fn loss(scale: f64, replicas: u64) -> Result<Signature, Misfit> {
    law(scale.is_finite(), "scale", scale, "it must be a number")?;
    law(replicas > 0, "replicas", replicas, "it must be at least 1")?;
    Ok(Signature::new()
        .read("terms", "2 B S", "A")
        .update("report", "2", "R"))
}

/// `(logits, targets, max, terms) -> dlogits`.
pub fn backward(scale: f64) -> Result<Signature, Misfit> {
    law(scale.is_finite(), "scale", scale, "it must be a number")?;
    Ok(Signature::new()
        .read("logits", "B S V", "T")
        .read("targets", "B S", "ids")
        .read("max", "B S", "A")
        .read("terms", "2 B S", "A")
        .make("dlogits", "B S V", "T"))
}
