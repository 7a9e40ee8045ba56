//! Dropout of rows, drawn from counters over logical indices: nothing of it is kept, backward draws the same again.

use pleach_plan::dropping::{Row, threshold};
use tch::{TchError, Tensor};

use crate::native::{Result, kernels};

/// Where in the run a call is, as far as what is dropped depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draws {
    /// Seed of the run.
    pub seed: u64,
    /// Step of the run.
    pub step: u64,
    /// The layer.
    pub layer: u64,
    /// The first sample's number in the phase.
    pub sample: u64,
}

/// Which rows: the share that is dropped, the branch, and the first position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Site {
    /// The share of entries that become zero.
    pub share: f64,
    /// Which of the layer's branches.
    pub site: u64,
    /// The first position.
    pub first: i64,
}

/// `x` but for what is dropped, in its storage where that ends here.
pub fn run(x: &Tensor, site: &Site, draws: &Draws, ends: bool) -> Result<Tensor> {
    let keys = keys(x, site, draws)?;
    let x = x.f_contiguous()?;
    let y = match ends {
        true => x.shallow_clone(),
        false => Tensor::f_empty(x.size(), (x.kind(), x.device()))?,
    };
    let (threshold, grown) = shares(site.share);
    kernels::dropout(&x, &y, &keys, threshold, grown)?;
    Ok(y)
}

/// Below which draw an entry is dropped, and how many times as large the others become.
pub fn shares(share: f64) -> (u32, f64) {
    (threshold(share), 1.0 / (1.0 - share))
}

/// A word for each row, which its draws are counted from, on the host.
pub fn keys(x: &Tensor, site: &Site, draws: &Draws) -> Result<Tensor> {
    let (sequences, positions, _) = x.size3()?;
    let first = u64::try_from(site.first);
    let first = first.map_err(|_| TchError::Shape(format!("position {}", site.first)))?;
    let key = |index: i64| {
        let (sample, position) = (index / positions, index % positions);
        let row = Row {
            seed: draws.seed,
            step: draws.step,
            sample: draws.sample + sample.unsigned_abs(),
            layer: draws.layer,
            site: site.site,
            position: first + position.unsigned_abs(),
        };
        row.key().cast_signed()
    };
    let keys: Vec<i64> = (0..sequences * positions).map(key).collect();
    Tensor::f_from_slice(&keys)
}
