//! Errors of predictions as a table: set by set, then memory, then what was not predicted and why.

use std::collections::BTreeMap;

use pleach_planner::hardware::bands::Band;

use super::price::Predicted;
use super::rows::Row;
use super::sets::{SETS, Set};

/// A row with its prediction, or why there is none.
pub type Priced = (Row, Result<Predicted, String>);

/// Rows of one choice: the same model, machines and batch, placed differently.
type Grid<'p> = BTreeMap<Vec<&'p str>, Vec<(f64, f64)>>;

/// What makes rows alternatives of one another when it is alike.
const CHOICE: [&str; 8] = [
    "group",
    "model",
    "hidden",
    "n_layers",
    "seq_len",
    "global_batch",
    "n_gpus",
    "gpu",
];

/// The whole table.
pub fn table(priced: &[Priced], bands: impl Fn(&str) -> Option<Band>) -> String {
    let mut lines = vec![format!(
        "{:<28} {:>9} {:>7} {:>7} {:>7} {:>7} {:>7}  {:<18} {:>6}",
        "step time", "rows", "mean %", "median", "most %", "regret", "inside", "best known", "goal"
    )];
    lines.extend(SETS.iter().map(|set| line(set, priced, &bands)));
    lines.push(String::new());
    lines.extend(memory(priced));
    lines.push(String::new());
    lines.extend(unpredicted(priced));
    lines.join("\n")
}

fn members<'p>(set: &Set, priced: &'p [Priced]) -> Vec<&'p Priced> {
    let mut members: Vec<&Priced> = priced
        .iter()
        .filter(|(row, _)| set.groups.contains(&row.group()) && row.is_measured())
        .collect();
    members.retain(|(row, _)| {
        let system = row.text("system");
        set.systems.is_empty() || set.systems.iter().any(|known| system.starts_with(known))
    });
    members
}

fn line(set: &Set, priced: &[Priced], bands: &impl Fn(&str) -> Option<Band>) -> String {
    let members = members(set, priced);
    let compared: Vec<(&Row, f64, f64)> = members
        .iter()
        .filter_map(|(row, predicted)| Some((row, predicted.as_ref().ok()?.step, row.step()?)))
        .collect();
    let errors: Vec<f64> = compared
        .iter()
        .map(|(_, predicted, measured)| (predicted / measured - 1.0).abs() * 100.0)
        .collect();
    let inside = compared.iter().filter(|(row, predicted, measured)| {
        let ratio = measured / predicted;
        bands(row.group()).is_some_and(|band| (band.low..=band.high).contains(&ratio))
    });
    let share = match compared.len() {
        0 => String::new(),
        count => format!("{:.0} %", inside.count() as f64 / count as f64 * 100.0),
    };
    let [mean, middle, most] = [mean(&errors), median(&errors), most(&errors)].map(shown);
    format!(
        "{:<28} {:>4}/{:<4} {mean:>7} {middle:>7} {most:>7} {:>7} {share:>7}  {:<18} {:>6}",
        set.name,
        compared.len(),
        members.len(),
        shown(regret(&compared)),
        set.existing,
        format!("{} %", set.goal),
    )
}

/// How much slower than the best of its alternatives the one is that was predicted to be the fastest: mean over the choices, in percent.
fn regret(compared: &[(&Row, f64, f64)]) -> Option<f64> {
    let mut grid = Grid::new();
    for (row, predicted, measured) in compared {
        let key = CHOICE.map(|column| row.text(column)).to_vec();
        grid.entry(key).or_default().push((*predicted, *measured));
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

/// Peak memory of the rows that publish it, and calls of out-of-memory.
fn memory(priced: &[Priced]) -> Vec<String> {
    let gibibytes = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let mut errors: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut calls: BTreeMap<&str, [u32; 4]> = BTreeMap::new();
    for (row, predicted) in priced {
        let Ok(predicted) = predicted else { continue };
        if let Some(measured) = row.number("peak_mem_gib_per_gpu") {
            let error = (gibibytes(predicted.peak) / measured - 1.0) * 100.0;
            errors.entry(row.group()).or_default().push(error);
        }
        if !row.is_measured() && !row.is_out_of_memory() {
            continue;
        }
        let call = match (row.is_out_of_memory(), predicted.peak > predicted.capacity) {
            (true, true) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => 3,
        };
        calls.entry(row.group()).or_default()[call] += 1;
    }
    let mut lines = vec!["peak memory (predicted over published)".to_owned()];
    for (group, errors) in &errors {
        let sizes: Vec<f64> = errors.iter().map(|error| error.abs()).collect();
        let [signed, size] = [median(errors), median(&sizes)].map(shown);
        lines.push(format!(
            "  {group:<26} {:>4} rows, median {signed} %, median size {size} %",
            errors.len()
        ));
    }
    lines.push("out of memory: said and true, missed, said and false, fits and true".to_owned());
    for (group, [hit, missed, false_alarm, right]) in calls {
        lines.push(format!(
            "  {group:<26} {hit:>5} {missed:>5} {false_alarm:>5} {right:>5}"
        ));
    }
    lines
}

fn unpredicted(priced: &[Priced]) -> Vec<String> {
    let mut reasons: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for (row, predicted) in priced {
        if let Err(why) = predicted {
            *reasons.entry((row.group(), why)).or_default() += 1;
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
