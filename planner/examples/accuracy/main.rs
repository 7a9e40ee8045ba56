//! Holds predictions against published runs: `cargo xtask accuracy`.
//!
//! In comes the folder with the files of published runs, out comes a table: for each set of rows the error of the step time beside what existing tools score
//! there, the regret of choosing by prediction, the share of rows inside the band, then peak memory, calls of out-of-memory, and what was not predicted, with
//! the reason and the count. With `--rows` every row is listed; `--bands` prints `hardware/bands.toml` anew instead.
//!
//! No constant of the cost model is fitted to these rows, so all of them are held out; only the bands are learned from some of them.
// A command-line tool: it reads files, which the library never does.
#![allow(clippy::disallowed_methods)]

mod bands;
mod price;
mod rows;
mod sets;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use pleach_planner::hardware::bands::{Band, Shipped};

use table::Priced;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let folder = arguments
        .iter()
        .find(|argument| !argument.starts_with("--"));
    let folder = folder.map_or(PathBuf::from("../shared/data/published"), PathBuf::from);
    let priced = match priced(&folder) {
        Ok(priced) => priced,
        Err(error) => {
            eprintln!("error: {}: {error}", folder.display());
            return ExitCode::from(2);
        }
    };
    if has("--bands") {
        println!("# Written by `cargo xtask accuracy --bands`; see planner/examples/accuracy.");
        let bands = bands::learn(&priced);
        print!(
            "{}",
            toml::to_string(&bands).expect("bands are plain tables")
        );
        return ExitCode::SUCCESS;
    }
    if has("--rows") {
        priced
            .iter()
            .for_each(|(row, predicted)| println!("{}", listed(row, predicted)));
    }
    let shipped = Shipped::read();
    println!("{}", table::table(&priced, |group| band(&shipped, group)));
    ExitCode::SUCCESS
}

fn priced(folder: &Path) -> Result<Vec<Priced>, csv::Error> {
    let rows = rows::read(folder)?;
    let price = |row: rows::Row| {
        let predicted = price::price(&row);
        (row, predicted)
    };
    Ok(rows.into_iter().map(price).collect())
}

/// The band of the engine that a group ran on.
fn band(shipped: &Shipped, group: &str) -> Option<Band> {
    Some(match group {
        "gpt-neox" | "bloom-grid" | "bigscience-v100" => shipped.neox.clone(),
        _ => shipped.megatron.clone(),
    })
}

fn listed(row: &rows::Row, predicted: &Result<price::Predicted, String>) -> String {
    let (id, group) = (row.id(), row.group());
    match (predicted, row.step()) {
        (Err(why), _) => format!("{id:<26} {group:<18} {why}"),
        (Ok(predicted), measured) => {
            let measured = measured.map_or(String::new(), |measured| {
                let ratio = predicted.step / measured;
                format!("  measured {measured:>8.3} s  ratio {ratio:.3}")
            });
            let peak = predicted.peak as f64 / f64::from(1 << 30);
            let published = row.number("peak_mem_gib_per_gpu");
            let published =
                published.map_or(String::new(), |gib| format!(" of published {gib:.1}"));
            format!(
                "{id:<26} {group:<18} predicted {:>8.3} s{measured}  peak {peak:.1} GiB{published}",
                predicted.step
            )
        }
    }
}
