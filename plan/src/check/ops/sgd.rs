//! Signature of the update of gradient descent with momentum: that of Lion.

use super::lion;
use crate::check::signature::{Misfit, Signature};

/// `(factor; weight, m, gradient) -> ()`.
pub fn sgd(momentum: f64, weight_decay: f64) -> Result<Signature, Misfit> {
    lion::share("momentum", momentum)?;
    lion::momentum(weight_decay)
}
