//! Bands of measured over predicted, as `hardware/bands.toml` holds them.
//!
//! The row of GPT-NeoX-20B is not counted: it is the run that predictions are shown against.

use std::collections::BTreeSet;

use pleach_planner::hardware::bands::{Band, Shipped};

use super::table::Priced;

/// Groups that enter the bands: measured, with a known network, on a table that rests on measurements.
const COUNTED: [&str; 4] = [
    "bloom-grid",
    "korthikanti-2022",
    "narayanan-2021",
    "vtrain-multi",
];

/// One ratio and whose it is.
struct Ratio<'p> {
    group: &'p str,
    step: f64,
    sheet: f64,
    memory: Option<f64>,
}

/// The bands of the rows that were predicted.
pub fn learn(priced: &[Priced]) -> Shipped {
    let ratios: Vec<Ratio> = priced.iter().filter_map(ratio).collect();
    let megatron = |ratio: &&Ratio| ratio.group != "bloom-grid";
    let neox = |ratio: &&Ratio| !megatron(ratio);
    Shipped {
        neox: band(ratios.iter().filter(neox).map(|one| (one.group, one.step))),
        megatron: band(
            ratios
                .iter()
                .filter(megatron)
                .map(|one| (one.group, one.step)),
        ),
        sheet: band(ratios.iter().map(|one| (one.group, one.sheet))),
        memory: band(
            ratios
                .iter()
                .filter_map(|one| Some((one.group, one.memory?))),
        ),
    }
}

fn ratio((row, predicted): &Priced) -> Option<Ratio<'_>> {
    let predicted = predicted.as_ref().ok()?;
    let group = row.group();
    if !COUNTED.contains(&group) || !row.is_measured() {
        return None;
    }
    let measured = row.step()?;
    let peak = predicted.peak as f64 / f64::from(1 << 30);
    Some(Ratio {
        group,
        step: measured / predicted.step,
        sheet: measured / predicted.sheet,
        memory: row.number("peak_mem_gib_per_gpu").map(|gib| gib / peak),
    })
}

fn band<'p>(ratios: impl Iterator<Item = (&'p str, f64)>) -> Band {
    let (groups, mut ratios): (BTreeSet<&str>, Vec<f64>) = ratios.unzip();
    ratios.sort_by(f64::total_cmp);
    let quantile = |part: f64| {
        let place = part * (ratios.len().max(1) - 1) as f64;
        let low = place as usize;
        let high = (low + 1).min(ratios.len() - 1);
        let value = ratios[low] + (ratios[high] - ratios[low]) * (place - low as f64);
        (value * 1e4).round() / 1e4
    };
    let groups: Vec<&str> = groups.into_iter().collect();
    Band {
        low: quantile(0.05),
        median: quantile(0.5),
        high: quantile(0.95),
        runs: u32::try_from(ratios.len()).unwrap_or(u32::MAX),
        source: format!(
            "measured over predicted for published runs: {}",
            groups.join(", ")
        ),
    }
}
