//! Dropout: entries become zero by counters over logical indices, the rest grows so that the mean stays.

use super::Context;
use crate::dropping::{Row, keeps, threshold};
use crate::reference::value::{Unfit, Value};

/// Which rows are dropped from, beside what the context says.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// The share of entries that become zero.
    pub share: f64,
    /// Which of the layer's branches.
    pub site: u64,
    /// The first position.
    pub first: usize,
}

/// `x`, but for what is dropped.
///
/// # Errors
/// Shapes, or rows that belong to no layer.
pub fn dropout(x: &Value, site: &Site, at: &Context) -> Result<Value, Unfit> {
    let [_, positions, width] = x.shape()?;
    let layer = at
        .layer
        .ok_or_else(|| Unfit("dropout outside of the layers".to_owned()))?;
    let (sample, threshold) = (at.first_sample(), threshold(site.share));
    let mut data = Vec::with_capacity(x.data.len());
    for (index, row) in x.data.chunks_exact(width).enumerate() {
        let key = Row {
            seed: at.training.seed,
            step: at.step,
            sample: sample + (index / positions) as u64,
            layer: u64::from(layer),
            site: site.site,
            position: (site.first + index % positions) as u64,
        }
        .key();
        let kept = |(column, value): (u64, &f64)| match keeps(key, column, threshold) {
            true => value / (1.0 - site.share),
            false => 0.0,
        };
        data.extend((0..).zip(row).map(kept));
    }
    Ok(Value::like(x, &x.dims, data))
}
