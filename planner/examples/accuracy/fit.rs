//! Fits the constants of each chip to its published rows, all at once and again without each part that is held out.
//!
//! The constants' logarithms are moved so that the logarithms of predicted over measured come near zero: least squares by Gauss and Newton, rows far off
//! counting by their distance and not its square, each source counting by the fourth root of its rows, and a pull towards what the table says that only decides
//! where rows do not. What is held out is solved from the same linearisation.

use std::collections::{BTreeMap, BTreeSet};

use pleach_planner::hardware::{
    self,
    fitted::{Fitted, Paced},
};

use super::case::Case;
use super::rows::Row;
use super::split::{FOLDS, Split, is_trained};
use super::{fit_memory, fit_pace};

/// Constants of a chip.
const COUNT: usize = 7;

/// Where the constants begin, and how far they are believed to lie from there, in logarithms.
const PRIOR: [(f64, f64); COUNT] = [
    (1.00, 0.06),
    (0.95, 0.15),
    (1.00, 0.10),
    (1.00, 0.12),
    (0.90, 0.20),
    (1.00, 0.30),
    (3e-5, 0.50),
];

/// How far a row's prediction is believed to lie off for other reasons, in logarithms.
const NOISE: f64 = 0.08;

/// Steps of the search.
const STEPS: usize = 2;

/// A row of the training set: its source, its fold, and its error with the slope over each constant.
struct Sample<'r> {
    group: &'r str,
    fold: usize,
    /// Logarithm of measured over predicted.
    error: f64,
    slope: [f64; COUNT],
}

/// The constants of each chip fitted to all of its rows, and by name to those that are left when a part is held out.
pub struct Result {
    /// By chip.
    pub full: BTreeMap<String, Fitted>,
    /// By what [`Split`] calls it.
    pub held_out: BTreeMap<String, Fitted>,
}

/// Fits all chips.
pub fn fit(rows: &[Row], split: &Split) -> Result {
    let cases: Vec<(&Row, Case)> = rows
        .iter()
        .filter(|row| is_trained(row) && row.step().is_some())
        .filter_map(|row| Some((row, Case::of(row).ok()?)))
        .collect();
    let chips: BTreeSet<&str> = cases
        .iter()
        .map(|(_, case)| hardware::fitted::chip_of(case.device()))
        .collect();
    let mut result = Result {
        full: BTreeMap::new(),
        held_out: BTreeMap::new(),
    };
    for chip in chips {
        let own = |case: &&(&Row, Case)| hardware::fitted::chip_of(case.1.device()) == chip;
        let own: Vec<&(&Row, Case)> = cases.iter().filter(own).collect();
        fit_chip(chip, &own, split, &mut result);
    }
    result
}

fn fit_chip(chip: &str, cases: &[&(&Row, Case)], split: &Split, result: &mut Result) {
    let mut at = PRIOR.map(|(value, _)| value);
    let mut samples = Vec::new();
    let peaks = fit_memory::measure(cases, split);
    let shipped = Fitted::of(chip).map_or_else(BTreeMap::new, |own| own.paces);
    let mut paces = fit_pace::Measured::default();
    for step in 0..STEPS {
        let base = at;
        samples = measure(cases, split, base, &shipped);
        at = solve(&samples, base, |_| true);
        eprintln!("{chip}, step {step}: {} rows, {at:?}", samples.len());
        if step + 1 == STEPS {
            paces = fit_pace::measure(cases, split, &Fitted::from_values(at));
            for fold in 0..FOLDS {
                let values = solve(&samples, base, |sample| sample.fold != fold);
                let memory = fit_memory::solve(&peaks, |peak| peak.fold != fold);
                let name = Split::fold_name(chip, fold);
                let own = constants(values, memory);
                let own = own.with_paces(paces.solve(|_, other| other != fold));
                result.held_out.insert(name, own);
            }
            let groups: BTreeSet<&str> = samples.iter().map(|sample| sample.group).collect();
            for group in groups {
                let values = solve(&samples, base, |sample| sample.group != group);
                let memory = fit_memory::solve(&peaks, |peak| peak.group != group);
                let name = Split::source_name(chip, group);
                let own = constants(values, memory);
                let own = own.with_paces(paces.solve(|other, _| other != group));
                result.held_out.insert(name, own);
            }
        }
    }
    let groups: BTreeSet<&str> = samples.iter().map(|sample| sample.group).collect();
    let groups: Vec<&str> = groups.into_iter().collect();
    let fitted = Fitted {
        rows: u32::try_from(samples.len()).unwrap_or(u32::MAX),
        source: format!("published runs: {}", groups.join(", ")),
        paces: paces.solve(|_, _| true),
        ..constants(at, fit_memory::solve(&peaks, |_| true))
    };
    result.full.insert(chip.to_owned(), fitted);
}

/// Prices all rows at some constants and beside them, hosts at the paces that they were last found to have.
fn measure<'r>(
    cases: &[&(&'r Row, Case)],
    split: &Split,
    at: [f64; COUNT],
    paces: &BTreeMap<String, Paced>,
) -> Vec<Sample<'r>> {
    const BESIDE: f64 = 1.1;
    let points: Vec<Fitted> = std::iter::once(at)
        .chain((0..COUNT).map(|index| {
            let mut moved = at;
            moved[index] *= BESIDE;
            moved
        }))
        .map(|values| Fitted::from_values(values).with_paces(paces.clone()))
        .collect();
    let sample = |&&(row, ref case): &&(&'r Row, Case)| {
        let plain = case.plain().ok()?;
        let tables: Vec<_> = points
            .iter()
            .map(|point| point.applied(plain.clone()))
            .collect();
        let priced = case.price(&tables).ok()?;
        let steps: Vec<f64> = priced.iter().map(|predicted| predicted.step).collect();
        Some(Sample {
            group: row.group(),
            fold: split.fold(row),
            error: (row.step()? / steps[0]).ln(),
            slope: std::array::from_fn(|index| (steps[index + 1] / steps[0]).ln() / BESIDE.ln()),
        })
    };
    super::parallel(cases, sample)
        .into_iter()
        .flatten()
        .collect()
}

/// The constants that bring the chosen rows nearest, from a linearisation at `base`.
fn solve(samples: &[Sample], base: [f64; COUNT], chosen: impl Fn(&Sample) -> bool) -> [f64; COUNT] {
    let mut counts: BTreeMap<&str, f64> = BTreeMap::new();
    for sample in samples.iter().filter(|sample| chosen(sample)) {
        *counts.entry(sample.group).or_default() += 1.0;
    }
    let mut moved = [0.0; COUNT];
    for _ in 0..20 {
        let mut system = [[0.0; COUNT + 1]; COUNT];
        for (index, (value, spread)) in PRIOR.into_iter().enumerate() {
            let weight = 1.0 / (spread * spread);
            system[index][index] += weight;
            system[index][COUNT] += weight * (value / base[index]).ln();
        }
        for sample in samples.iter().filter(|sample| chosen(sample)) {
            let fitted: f64 = (0..COUNT)
                .map(|index| sample.slope[index] * moved[index])
                .sum();
            let left = (sample.error - fitted).abs();
            let far = if left > NOISE { NOISE / left } else { 1.0 };
            let weight = far / (NOISE * NOISE) / counts[sample.group].powf(0.75);
            for (row, own) in system.iter_mut().enumerate() {
                let slope = weight * sample.slope[row];
                for (value, other) in own.iter_mut().zip(sample.slope) {
                    *value += slope * other;
                }
                own[COUNT] += slope * sample.error;
            }
        }
        moved = eliminate(system);
    }
    std::array::from_fn(|index| base[index] * moved[index].clamp(-0.7, 0.7).exp())
}

/// Solves a positive definite system, its right side in the last column.
fn eliminate(mut system: [[f64; COUNT + 1]; COUNT]) -> [f64; COUNT] {
    for pivot in 0..COUNT {
        let own = system[pivot];
        for row in system.iter_mut().skip(pivot + 1) {
            let factor = row[pivot] / own[pivot];
            row.iter_mut()
                .zip(own)
                .for_each(|(value, above)| *value -= factor * above);
        }
    }
    let mut found = [0.0; COUNT];
    for row in (0..COUNT).rev() {
        let known: f64 = (row + 1..COUNT)
            .map(|column| system[row][column] * found[column])
            .sum();
        found[row] = (system[row][COUNT] - known) / system[row][row];
    }
    found
}

/// The constants, three figures of each.
fn constants(values: [f64; COUNT], memory: [f64; 2]) -> Fitted {
    let rounded = |value: f64| format!("{value:.2e}").parse().unwrap_or(value);
    Fitted::from_values(values.map(rounded)).with_memory(memory.map(rounded))
}
