//! Signature of Lion's update: weight, momentum and gradient of one shape and type.

use super::law;
use crate::check::signature::{Misfit, Signature};

/// `(factor; weight, m, gradient) -> ()`.
pub fn lion(betas: [f64; 2], weight_decay: f64) -> Result<Signature, Misfit> {
    for beta in betas {
        share("beta", beta)?;
    }
    momentum(weight_decay)
}

/// What is at least 0 and less than 1.
pub fn share(name: &'static str, value: f64) -> Result<(), Misfit> {
    law(
        (0.0..1.0).contains(&value),
        name,
        value,
        "it must be at least 0 and less than 1",
    )
}

/// An update with one moment.
pub fn momentum(weight_decay: f64) -> Result<Signature, Misfit> {
    law(
        weight_decay.is_finite(),
        "weight_decay",
        weight_decay,
        "it must be a number",
    )?;
    Ok(Signature::new()
        .read("factor", "1", "F")
        .update_all("weight", "X", "T")
        .update_all("m", "X", "T")
        .update_all("gradient", "X", "T"))
}
