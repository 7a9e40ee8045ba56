//! The gradient's norm and the factor that limits it.

use tch::Tensor;

use super::report;
use crate::native::{Result, kernels};

/// Keeps the factor finite where the norm is zero; the value that PyTorch's own clipping uses.
pub(super) const SAFETY: f64 = 1e-6;

/// Adds `sum(x²) / replicas` to the squares of a report.
pub fn sum_squares(x: &Tensor, report: &Tensor, replicas: u64) -> Result<()> {
    match report.numel() {
        2 => report::gain(report, 1, kernels::sum_squares(x)? / replicas as f64),
        _ => report::gain_squares(report, x, replicas),
    }
}

/// `factor = min(1, max_norm / (norm + 1e-6))`, or 1 without a limit, over the scale of the loss, of which `norm` is free; -1 where
/// the report is not finite.
pub fn clip_factor(
    report: &Tensor,
    factor: &Tensor,
    max_norm: Option<f64>,
    loss_scale: f64,
) -> Result<()> {
    let [loss, squares] = report::read(report)?;
    let norm = squares.sqrt() / loss_scale;
    let value = match max_norm {
        _ if !(loss.is_finite() && squares.is_finite()) => -1.0,
        Some(limit) if norm + SAFETY > limit => limit / (norm + SAFETY) / loss_scale,
        _ => 1.0 / loss_scale,
    };
    factor.shallow_clone().f_fill_(value).map(drop)
}
