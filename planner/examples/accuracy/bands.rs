//! Bands of measured over predicted, as `hardware/bands.toml` holds them, and whether held-out rows lie inside.

use std::collections::BTreeSet;

use pleach_planner::hardware::bands::{Band, Shipped, family};

use super::priced::Priced;

/// One ratio of measured over predicted, and whose it is.
pub struct Ratio<'p> {
    /// The source.
    pub group: &'p str,
    /// Its part of the source.
    pub fold: usize,
    /// The family of its engine.
    pub family: &'static str,
    /// Measured over predicted.
    pub value: f64,
}

/// What is learned from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Steps, with constants that the row's part was held out from.
    Step,
    /// Steps, with constants that the row's source was held out from.
    Source,
    /// Steps with tables from data sheets.
    Sheet,
    /// Peak memory.
    Memory,
}

/// All ratios of one kind.
pub fn ratios(priced: &[Priced], kind: Kind) -> Vec<Ratio<'_>> {
    let ratio = |one: &'_ Priced| -> Option<(f64, usize, &'static str)> {
        let found = one.found.as_ref().ok().filter(|_| one.trained)?;
        let predicted = match kind {
            Kind::Step => one.row.step()? / found.held_out.step,
            Kind::Source => one.row.step()? / found.without_source.step,
            Kind::Sheet => one.row.step()? / found.sheet.step,
            Kind::Memory => one.row.peak()? / found.full.gibibytes(&one.row),
        };
        Some((predicted, one.fold, family(&found.engine)))
    };
    priced
        .iter()
        .filter_map(|one| {
            let (value, fold, family) = ratio(one)?;
            Some(Ratio {
                group: one.row.group(),
                fold,
                family,
                value,
            })
        })
        .collect()
}

/// The bands that are shipped: of every family that has rows, of all together, of data sheets, and of memory.
pub fn learn(priced: &[Priced]) -> Shipped {
    let step = ratios(priced, Kind::Step);
    let memory = ratios(priced, Kind::Memory);
    let families: BTreeSet<&str> = step.iter().map(|ratio| ratio.family).collect();
    let of =
        |ratios: &[Ratio], family: &str| band(ratios.iter().filter(|ratio| ratio.family == family));
    let named = |ratios: &[Ratio]| {
        let bands = families
            .iter()
            .filter_map(|family| Some(((*family).to_owned(), of(ratios, family)?)));
        bands.collect()
    };
    let all = |ratios: &[Ratio]| {
        let band = band(ratios.iter().filter(|ratio| speaks_for_others(ratio)));
        band.expect("there are published rows")
    };
    Shipped {
        step: named(&step),
        memory: named(&memory),
        any_step: all(&step),
        any_memory: all(&memory),
        sheet: all(&ratios(priced, Kind::Sheet)),
    }
}

/// The part of a source's rows that lie inside bands learned without their configuration, of their own family where enough rows of it are left.
pub fn inside(ratios: &[Ratio], member: impl Fn(&Ratio) -> bool, by_source: bool) -> Option<f64> {
    let members: Vec<&Ratio> = ratios.iter().filter(|ratio| member(ratio)).collect();
    let hit = |one: &&&Ratio| {
        let left = |other: &&Ratio| match by_source {
            true => other.group != one.group,
            false => other.group != one.group || other.fold != one.fold,
        };
        let own = ratios
            .iter()
            .filter(left)
            .filter(|other| other.family == one.family);
        let others = ratios
            .iter()
            .filter(left)
            .filter(|other| speaks_for_others(other));
        let band = band(own).or_else(|| band(others));
        band.is_some_and(|band| (band.low.min(1.0)..=band.high.max(1.0)).contains(&one.value))
    };
    let count = members.iter().filter(hit).count();
    (!members.is_empty()).then(|| count as f64 / members.len() as f64 * 100.0)
}

/// Whether a run says something of other stacks. Those of nanotron stalled, up to tenfold, on what nobody wrote down.
fn speaks_for_others(ratio: &Ratio) -> bool {
    ratio.family != "nanotron"
}

/// The band of some ratios; none where there are too few to have ends.
fn band<'p, 'r: 'p>(ratios: impl Iterator<Item = &'p Ratio<'r>>) -> Option<Band> {
    const FEWEST: usize = 10;
    let (groups, mut values): (BTreeSet<&str>, Vec<f64>) =
        ratios.map(|ratio| (ratio.group, ratio.value)).unzip();
    values.sort_by(f64::total_cmp);
    if values.len() < FEWEST {
        return None;
    }
    // Of n further rows one lies beyond the last with a chance of 1 in n + 1: quantiles are taken of n + 1 gaps.
    let quantile = |part: f64| {
        let place = (part * (values.len() + 1) as f64 - 1.0).clamp(0.0, (values.len() - 1) as f64);
        let low = place as usize;
        let high = (low + 1).min(values.len() - 1);
        let value = values[low] + (values[high] - values[low]) * (place - low as f64);
        (value * 1e4).round() / 1e4
    };
    let groups: Vec<&str> = groups.into_iter().collect();
    Some(Band {
        low: quantile(0.05),
        median: quantile(0.5),
        high: quantile(0.95),
        runs: u32::try_from(values.len()).unwrap_or(u32::MAX),
        source: format!(
            "measured over predicted for held-out published runs: {}",
            groups.join(", ")
        ),
    })
}
