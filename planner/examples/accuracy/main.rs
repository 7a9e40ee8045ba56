//! Holds predictions against published runs: `cargo xtask accuracy`.
//!
//! In comes the folder with the files of published runs, out comes a table: for each set of rows the error of the step time beside what existing tools score
//! there, the regret of choosing by prediction, the share of rows inside the band, then peak memory, calls of out-of-memory, and what was not predicted, with
//! the reason and the count; it fails where `hardware/bands.toml` is not what these rows say. With `--rows` every row is listed, with `--row=ID` what one row's bodies cost, with `--only=SOURCE` nothing but that source is priced; `--bands` writes `hardware/bands.toml` anew instead; `--fit` writes the constants of
//! each chip (`hardware/fitted`) and those with parts held out (`held_out.toml`).
//!
//! Every figure is of rows that were held out: constants and bands are learned without the row's configuration, and again without its whole source.
// A command-line tool: it reads files, which the library never does.
#![allow(clippy::disallowed_methods)]

mod bands;
mod case;
mod fit;
mod fit_memory;
mod fit_pace;
mod parts;
mod priced;
mod rows;
mod sets;
mod split;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use priced::{HeldOut, Priced};
use split::Split;

const HELD_OUT: &str = "planner/examples/accuracy/held_out.toml";
const FITTED: &str = "hardware/fitted";
const BANDS: &str = "hardware/bands.toml";
const HEAD: &str = "# Written by `cargo xtask accuracy";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let mut plain = arguments
        .iter()
        .filter(|argument| !argument.starts_with("--"));
    let folder = plain
        .next()
        .map_or("../shared/data/published", String::as_str);
    let checkout = plain.next().map_or(".", String::as_str);
    match run(Path::new(folder), Path::new(checkout), has) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(folder: &Path, checkout: &Path, has: impl Fn(&str) -> bool) -> Result<String, String> {
    let mut rows = rows::read(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    if let Some(row) = rows.iter().find(|row| has(&format!("--row={}", row.id()))) {
        return parts::list(row);
    }
    let split = Split::of(&rows);
    let some = rows
        .iter()
        .any(|row| has(&format!("--only={}", row.group())));
    rows.retain(|row| !some || has(&format!("--only={}", row.group())));
    if has("--fit") {
        return write(checkout, &fit::fit(&rows, &split)).map_err(|error| error.to_string());
    }
    let constants = constants(checkout).map_err(|error| error.to_string())?;
    let priced = priced::price(rows, &split, &constants);
    if has("--bands") {
        let file = checkout.join(BANDS);
        std::fs::write(&file, bands_of(&priced)).map_err(|error| error.to_string())?;
        return Ok(format!("wrote {}", file.display()));
    }
    let mut lines = Vec::new();
    if has("--rows") {
        lines.extend(priced.iter().map(listed));
    }
    lines.push(table::table(&priced));
    let text = lines.join("\n");
    if some {
        return Ok(text);
    }
    let file = checkout.join(BANDS);
    match std::fs::read_to_string(&file) {
        Ok(committed) if committed != bands_of(&priced) => Err(format!(
            "{text}\n\n{} is not what `--bands` writes",
            file.display()
        )),
        _ => Ok(text),
    }
}

/// The bands of all rows, as their file holds them.
fn bands_of(priced: &[Priced]) -> String {
    let bands = toml_of(&bands::learn(priced));
    format!("{HEAD} --bands`; see planner/examples/accuracy.\n{bands}")
}

/// The constants of each chip, and those with parts held out, as the checkout has them.
fn constants(checkout: &Path) -> Result<HeldOut, Box<dyn std::error::Error>> {
    let mut constants: HeldOut =
        toml::from_str(&std::fs::read_to_string(checkout.join(HELD_OUT))?)?;
    for file in std::fs::read_dir(checkout.join(FITTED))? {
        let file = file?.path();
        let chip = file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        constants.insert(chip, toml::from_str(&std::fs::read_to_string(&file)?)?);
    }
    Ok(constants)
}

/// Writes the constants of each chip, and what was held out.
fn write(checkout: &Path, fitted: &fit::Result) -> std::io::Result<String> {
    let mut written: Vec<PathBuf> = Vec::new();
    let head = format!("{HEAD} --fit`; see planner/src/hardware/fitted.rs.\n");
    for (chip, constants) in &fitted.full {
        let file = checkout.join(FITTED).join(format!("{chip}.toml"));
        std::fs::write(&file, format!("{head}{}", toml_of(constants)))?;
        written.push(file);
    }
    let file = checkout.join(HELD_OUT);
    std::fs::write(&file, format!("{head}{}", toml_of(&fitted.held_out)))?;
    written.push(file);
    let names: Vec<String> = written
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    Ok(format!("wrote {}", names.join(", ")))
}

fn toml_of(value: &impl serde::Serialize) -> String {
    toml::to_string(value).expect("constants are plain tables")
}

/// Does something with each element on all cores; results come in the order of the elements.
fn parallel<T: Sync, R: Send>(all: &[T], one: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut own = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            match all.get(index) {
                Some(element) => own.push((index, one(element))),
                None => return own,
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut results: Vec<(usize, R)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let joined = threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("no row panics"));
        joined.collect()
    });
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

fn listed(priced: &Priced) -> String {
    let row = &priced.row;
    let (id, group) = (row.id(), row.group());
    match (&priced.found, row.step()) {
        (Err(why), _) => format!("{id:<26} {group:<18} {why}"),
        (Ok(found), measured) => {
            let predicted = found.held_out;
            let measured = measured.map_or(String::new(), |measured| {
                let ratio = predicted.step / measured;
                format!("  measured {measured:>8.3} s  ratio {ratio:.3}")
            });
            let peak = predicted.gibibytes(row);
            let published = row.peak();
            let published =
                published.map_or(String::new(), |gib| format!(" of published {gib:.1}"));
            format!(
                "{id:<26} {group:<18} predicted {:>8.3} s{measured}  peak {peak:.1} GiB{published}  {}",
                predicted.step, predicted.shares
            )
        }
    }
}
