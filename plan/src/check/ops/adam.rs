//! Signature of Adam's update, whose weight decay is part of the gradient: that of AdamW.

use super::adam_w;
use crate::check::signature::{Misfit, Signature};

/// `(factor; weight, m, v, gradient) -> ()`.
pub fn adam(betas: [f64; 2], eps: f64, weight_decay: f64) -> Result<Signature, Misfit> {
    adam_w::adam_w(betas, eps, weight_decay)
}
