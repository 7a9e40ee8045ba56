//! Fits what a device holds beside live tensors to the peaks that published runs report.
//!
//! Two constants for each chip: what the allocator holds in pieces that it cannot join, as a part of the activations, and bytes beside. In come rows with a
//! published peak, out comes a solver for any part of them: least squares of relative errors, far rows counting by their distance, sources by the square
//! root of their rows, and a pull that decides only where rows do not.

use std::collections::BTreeMap;

use pleach_planner::hardware;

use super::case::Case;
use super::rows::Row;
use super::split::Split;

/// Where the constants begin and how far they are believed to lie from there: a part, and gigabytes.
const PRIOR: [(f64, f64); 2] = [(0.10, 0.30), (0.5, 0.5)];

/// How far a prediction is believed to lie off for other reasons.
const NOISE: f64 = 0.08;

/// A row with a published peak.
pub struct Peak<'r> {
    /// Its source.
    pub group: &'r str,
    /// Its fold.
    pub fold: usize,
    /// Published over predicted bytes, less one.
    error: f64,
    /// What a whole of each constant adds, over the prediction.
    slope: [f64; 2],
}

/// Predicts all rows that publish a peak, with tables that nothing is fitted in.
pub fn measure<'r>(cases: &[&(&'r Row, Case)], split: &Split) -> Vec<Peak<'r>> {
    let peak = |&&(row, ref case): &&(&'r Row, Case)| {
        let published = row.peak()?;
        let plain = hardware::plain(case.device()).ok()?;
        let predicted = *case.price(&[plain]).ok()?.first()?;
        let base = predicted.gibibytes(row);
        let gib = f64::from(1 << 30);
        let beside = if row.counts_by_allocator() { 0.0 } else { 1e9 };
        Some(Peak {
            group: row.group(),
            fold: split.fold(row),
            error: published / base - 1.0,
            slope: [predicted.activations as f64, beside].map(|bytes| bytes / gib / base),
        })
    };
    super::parallel(cases, peak).into_iter().flatten().collect()
}

/// The constants that bring the chosen rows nearest: a part of the activations, and bytes. Neither is below zero.
pub fn solve(peaks: &[Peak<'_>], chosen: impl Fn(&Peak<'_>) -> bool) -> [f64; 2] {
    let mut counts: BTreeMap<&str, f64> = BTreeMap::new();
    for peak in peaks.iter().filter(|peak| chosen(peak)) {
        *counts.entry(peak.group).or_default() += 1.0;
    }
    let mut found = PRIOR.map(|(value, _)| value);
    for _ in 0..20 {
        let [mut a, mut b, mut c] = [0.0; 3];
        let mut right = [0.0; 2];
        for (index, (value, spread)) in PRIOR.into_iter().enumerate() {
            let weight = 1.0 / (spread * spread);
            *[&mut a, &mut c][index] += weight;
            right[index] += weight * value;
        }
        for peak in peaks.iter().filter(|peak| chosen(peak)) {
            let left = peak.error - peak.slope[0] * found[0] - peak.slope[1] * found[1];
            let far = (NOISE / left.abs()).min(1.0);
            let weight = far / (NOISE * NOISE) / counts[peak.group].sqrt();
            let [own, other] = peak.slope;
            a += weight * own * own;
            b += weight * own * other;
            c += weight * other * other;
            right[0] += weight * own * peak.error;
            right[1] += weight * other * peak.error;
        }
        let whole = a * c - b * b;
        found = [
            (right[0] * c - right[1] * b) / whole,
            (right[1] * a - right[0] * b) / whole,
        ];
    }
    [found[0].max(0.0), found[1].max(0.0) * 1e9]
}
