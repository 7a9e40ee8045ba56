//! The gradient's norm and the factor that limits it.

use tch::Tensor;

use crate::native::{Result, kernels};

/// Keeps the factor finite where the norm is zero; the value that PyTorch's own clipping uses.
pub(super) const SAFETY: f64 = 1e-6;

/// Adds `sum(x²) / replicas` to `report[1]`.
pub fn sum_squares(x: &Tensor, report: &Tensor, replicas: u64) -> Result<()> {
    let sum = kernels::sum_squares(x)? / replicas as f64;
    report.f_select(0, 1)?.f_add_scalar_(sum).map(drop)
}

/// `factor = min(1, max_norm / (norm + 1e-6))`, or 1 without a limit, over the scale of the loss, of which `norm` is free; -1 where
/// the report is not finite.
pub fn clip_factor(
    report: &Tensor,
    factor: &Tensor,
    max_norm: Option<f64>,
    loss_scale: f64,
) -> Result<()> {
    let [loss, squares] = [report.f_double_value(&[0])?, report.f_double_value(&[1])?];
    let norm = squares.sqrt() / loss_scale;
    let value = match max_norm {
        _ if !(loss.is_finite() && squares.is_finite()) => -1.0,
        Some(limit) if norm + SAFETY > limit => limit / (norm + SAFETY) / loss_scale,
        _ => 1.0 / loss_scale,
    };
    factor.shallow_clone().f_fill_(value).map(drop)
}
