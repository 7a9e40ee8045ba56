//! Errors of predictions as a table: set by set, then memory, then what was not predicted and why.

use std::collections::BTreeMap;

use super::bands::{self, Kind, Ratio};
use super::priced::{Found, Priced};
use super::rows::Row;
use super::sets::{SETS, Set};

/// What a row's prediction is held against.
struct Compared<'p> {
    row: &'p Row,
    found: &'p Found,
    measured: f64,
}

/// The whole table.
pub fn table(priced: &[Priced]) -> String {
    let mut lines = vec![
        "step time; every figure of rows whose configuration was held out from constants and bands"
            .to_owned(),
        format!(
            "{:<28} {:>8} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7}  {:<18} {:>6} {:>16} {:>7}",
            "",
            "rows",
            "mean %",
            "median",
            "most %",
            "bias %",
            "regret",
            "inside",
            "best known",
            "goal",
            "source out: mean",
            "inside"
        ),
    ];
    let step = bands::ratios(priced, Kind::Step);
    let source = bands::ratios(priced, Kind::Source);
    lines.extend(SETS.iter().map(|set| line(set, priced, &step, &source)));
    lines.extend(shares("all bands", &step, &source));
    lines.push(String::new());
    lines.extend(memory(priced));
    lines.push(String::new());
    lines.extend(out_of_memory(priced));
    lines.push(String::new());
    lines.extend(unpredicted(priced));
    lines.join("\n")
}

fn line(set: &Set, priced: &[Priced], step: &[Ratio], source: &[Ratio]) -> String {
    let members: Vec<&Priced> = priced.iter().filter(|one| set.has(&one.row)).collect();
    let compared: Vec<Compared> = members.iter().filter_map(|one| compared(one)).collect();
    let signed = |pick: fn(&Found) -> f64| -> Vec<f64> {
        let error = |one: &Compared| (pick(one.found) / one.measured - 1.0) * 100.0;
        compared.iter().map(error).collect()
    };
    let errors = signed(|found| found.held_out.step);
    let sizes = absolute(&errors);
    let without = absolute(&signed(|found| found.without_source.step));
    let own = |ratio: &Ratio| set.groups.contains(&ratio.group);
    let share = |ratios: &[Ratio], by_source| percent(bands::inside(ratios, own, by_source));
    format!(
        "{:<28} {:>3}/{:<4} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7}  {:<18} {:>6} {:>16} {:>7}",
        set.name,
        compared.len(),
        members.len(),
        shown(mean(&sizes)),
        shown(median(&sizes)),
        shown(most(&sizes)),
        shown(median(&errors)),
        shown(regret(&compared)),
        share(step, false),
        set.existing,
        format!("{} %", set.goal),
        shown(mean(&without)),
        share(source, true),
    )
}

fn shares(name: &str, step: &[Ratio], source: &[Ratio]) -> Vec<String> {
    let held = percent(bands::inside(step, |_| true, false));
    let out = percent(bands::inside(source, |_| true, true));
    vec![format!(
        "{name:<28} inside {held} (goal 86 to 94 %), with their source held out {out}"
    )]
}

fn compared(one: &Priced) -> Option<Compared<'_>> {
    Some(Compared {
        row: &one.row,
        found: one.found.as_ref().ok()?,
        measured: one.row.step()?,
    })
}

/// How much slower than the best of its alternatives the one is that was predicted to be the fastest: mean over the choices, in percent.
fn regret(compared: &[Compared]) -> Option<f64> {
    let mut grid: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for one in compared {
        let pair = (one.found.held_out.step, one.measured);
        grid.entry(one.row.configuration()).or_default().push(pair);
    }
    let choices = grid.into_values().filter(|rows| rows.len() > 1);
    let regrets: Vec<f64> = choices
        .filter_map(|rows| {
            let chosen = rows.iter().min_by(|one, other| one.0.total_cmp(&other.0))?;
            let best = rows.iter().map(|row| row.1).min_by(f64::total_cmp)?;
            Some((chosen.1 / best - 1.0) * 100.0)
        })
        .collect();
    mean(&regrets)
}

/// Peak memory of the rows that publish it.
fn memory(priced: &[Priced]) -> Vec<String> {
    let mut errors: BTreeMap<&str, (Vec<f64>, u32)> = BTreeMap::new();
    for one in priced.iter().filter(|one| one.row.is_measured()) {
        let Some(published) = one.row.peak() else {
            continue;
        };
        let (own, total) = errors.entry(one.row.group()).or_default();
        *total += 1;
        if let Ok(found) = &one.found {
            own.push((found.full.gibibytes(&one.row) / published - 1.0) * 100.0);
        }
    }
    let ratios = bands::ratios(priced, Kind::Memory);
    let mut lines = vec![format!(
        "{:<28} {:>8} {:>7} {:>7} {:>7} {:>7} {:>7}  (goal: median 6 %; best known +9 to +21 %)",
        "peak memory", "rows", "mean %", "median", "most %", "bias %", "inside"
    )];
    for (group, (errors, total)) in &errors {
        let sizes = absolute(errors);
        lines.push(format!(
            "{group:<28} {:>3}/{total:<4} {:>7} {:>7} {:>7} {:>7} {:>7}",
            errors.len(),
            shown(mean(&sizes)),
            shown(median(&sizes)),
            shown(most(&sizes)),
            shown(median(errors)),
            percent(bands::inside(&ratios, |ratio| ratio.group == *group, false)),
        ));
    }
    let all: Vec<f64> = errors
        .into_values()
        .flat_map(|(errors, _)| errors)
        .collect();
    lines.push(format!(
        "all rows: median size {} %",
        shown(median(&absolute(&all)))
    ));
    lines
}

fn out_of_memory(priced: &[Priced]) -> Vec<String> {
    let mut calls: BTreeMap<&str, [u32; 4]> = BTreeMap::new();
    for one in priced {
        let Ok(found) = &one.found else { continue };
        if !one.row.is_measured() && !one.row.is_out_of_memory() {
            continue;
        }
        let predicted = found.full.peak > found.full.capacity;
        let call = match (one.row.is_out_of_memory(), predicted) {
            (true, true) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => 3,
        };
        calls.entry(one.row.group()).or_default()[call] += 1;
    }
    let mut lines = vec![format!(
        "{:<28} {:>6} {:>6} {:>6} {:>6} {:>9} {:>7}",
        "out of memory", "hit", "missed", "false", "fits", "accuracy", "recall"
    )];
    for (group, [hit, missed, wrong, right]) in calls {
        let share = |part: u32, whole: u32| {
            percent((whole > 0).then(|| f64::from(part) / f64::from(whole) * 100.0))
        };
        lines.push(format!(
            "{group:<28} {hit:>6} {missed:>6} {wrong:>6} {right:>6} {:>9} {:>7}",
            share(hit + right, hit + missed + wrong + right),
            share(hit, hit + missed)
        ));
    }
    lines
}

fn unpredicted(priced: &[Priced]) -> Vec<String> {
    let mut reasons: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for one in priced {
        if let Err(why) = &one.found {
            *reasons.entry((one.row.group(), why)).or_default() += 1;
        }
    }
    let mut lines = vec!["not predicted".to_owned()];
    for ((group, why), count) in reasons {
        lines.push(format!("  {group:<26} {count:>5}  {why}"));
    }
    lines
}

fn shown(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.1}"))
}

fn percent(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.0} %"))
}

fn absolute(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| value.abs()).collect()
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn most(values: &[f64]) -> Option<f64> {
    values.iter().copied().max_by(f64::total_cmp)
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length.is_multiple_of(2) => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
        _ => Some(sorted[middle]),
    }
}
