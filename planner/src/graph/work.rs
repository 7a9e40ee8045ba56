//! What a layer takes by definition, whatever computes it: floating point operations of one forward pass over a token.
//!
//! In comes the typed model, out come counts: of matrix products and scans, and of the products of scores and values over the whole square of
//! attention (or a window to both sides).

use pleach_dsl::experiment::{Layer, Mixer, Model};

use super::weights::{self, Weight};
use crate::ops::scan;

/// FLOPs of a layer's matrices and scans for one token.
pub fn matrices(model: &Model, layer: &Layer) -> u64 {
    let weights = weights::layer(model, layer);
    let matrices = weights.iter().filter(|weight| weight.multiplies());
    let scans = match &layer.mixer {
        Mixer::Mamba(mamba) => scan::FLOPS * mamba.expand * model.hidden * mamba.state,
        _ => 0,
    };
    2 * matrices.map(Weight::active_elements).sum::<u64>() + scans
}

/// FLOPs of a layer's products of scores and values for one token.
pub fn scores(model: &Model, layer: &Layer) -> u64 {
    let Mixer::Attention(attention) = &layer.mixer else {
        return 0;
    };
    let window = attention.window.unwrap_or(model.context);
    let seen = model.context.min(window.saturating_mul(2));
    4 * seen * attention.heads * attention.head_dim
}
