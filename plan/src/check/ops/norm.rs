//! Signatures of the gradient norm's parts.

use super::law;
use crate::check::signature::{Misfit, Signature};

/// `(x; report) -> ()`.
pub fn sum_squares(replicas: u64) -> Result<Signature, Misfit> {
    law(replicas > 0, "replicas", replicas, "it must be at least 1")?;
    Ok(Signature::new()
        .read_all("x", "X", "T")
        .update("report", "P", "R"))
}

/// `(report; factor) -> ()`.
pub fn clip_factor(max_norm: Option<f64>) -> Result<Signature, Misfit> {
    let limit = max_norm.unwrap_or(1.0);
    law(
        limit.is_finite() && limit > 0.0,
        "max_norm",
        limit,
        "it must be a positive number",
    )?;
    Ok(Signature::new()
        .read("report", "P", "R")
        .update("factor", "1", "F"))
}
