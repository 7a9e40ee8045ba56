//! Signatures of the cross-entropy and its parts: logits in the type of activations, the rest in a wider one.

use super::law;
use crate::Charge;
use crate::check::signature::{Misfit, Signature};

/// `(logits) -> max`.
pub fn max() -> Signature {
    Signature::new()
        .read("logits", "B S V", "T")
        .make("max", "B S", "A")
}

/// `(logits, targets, max) -> terms`.
pub fn terms(smoothed: bool) -> Signature {
    Signature::new()
        .read("logits", "B S V", "T")
        .read("targets", "B S", "ids")
        .read("max", "B S", "A")
        .make("terms", rows(smoothed), "A")
}

/// The shape of the terms.
fn rows(smoothed: bool) -> &'static str {
    if smoothed { "3 B S" } else { "2 B S" }
}

/// `(terms[, max][, weights]; report) -> ()`.
pub fn loss(charge: &Charge, replicas: u64, operands: usize) -> Result<Signature, Misfit> {
    sane(charge)?;
    law(replicas > 0, "replicas", replicas, "it must be at least 1")?;
    let mut signature = Signature::new().read("terms", rows(charge.is_smoothed()), "A");
    if charge.is_squared() {
        signature = signature.read("max", "B S", "A");
    }
    let known = 1 + usize::from(charge.is_squared());
    Ok(weighted(signature, operands > known).update("report", "P", "R"))
}

/// `(logits, targets, max, terms[, weights]) -> dlogits`.
pub fn backward(charge: &Charge, operands: usize) -> Result<Signature, Misfit> {
    sane(charge)?;
    let signature = Signature::new()
        .read("logits", "B S V", "T")
        .read("targets", "B S", "ids")
        .read("max", "B S", "A")
        .read("terms", rows(charge.is_smoothed()), "A");
    Ok(weighted(signature, operands > 4).make("dlogits", "B S V", "T"))
}

/// A charge that is a number.
fn sane(charge: &Charge) -> Result<(), Misfit> {
    let Charge {
        scale,
        z_loss,
        smoothing,
        rows,
        ..
    } = *charge;
    let number = "it must be a number";
    law(scale.is_finite(), "scale", scale, number)?;
    law(z_loss.is_finite(), "z_loss", z_loss, number)?;
    let share = "it must be at least 0 and at most 1";
    let is_share = (0.0..=1.0).contains(&smoothing);
    law(is_share, "smoothing", smoothing, share)?;
    let counted = rows > 0 || !charge.is_smoothed();
    law(counted, "rows", rows, "it must be at least 1")
}

/// The same with a weight for each target.
fn weighted(signature: Signature, is_weighted: bool) -> Signature {
    if is_weighted {
        signature.read("weights", "B S", "A")
    } else {
        signature
    }
}
