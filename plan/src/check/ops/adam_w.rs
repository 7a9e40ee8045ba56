//! Signature of the optimizer's update: weight, moments and gradient of one shape and type.

use super::law;
use crate::check::signature::{Misfit, Signature};

/// `(factor; weight, m, v, gradient) -> ()`.
pub fn adam_w(betas: [f64; 2], eps: f64, weight_decay: f64) -> Result<Signature, Misfit> {
    for beta in betas {
        law(
            (0.0..1.0).contains(&beta),
            "beta",
            beta,
            "it must be at least 0 and less than 1",
        )?;
    }
    law(
        eps.is_finite() && eps >= 0.0,
        "eps",
        eps,
        "it must be a number of at least 0",
    )?;
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
        .update_all("v", "X", "T")
        .update_all("gradient", "X", "T"))
}
