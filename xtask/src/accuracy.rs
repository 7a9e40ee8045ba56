//! `cargo xtask accuracy`: holds the planner's predictions against published runs, which lie beside the checkout.
//!
//! The work is an example of the planner, so that this crate need not link it.

use crate::places;
use crate::process::{self, Failure, cargo};

/// Where the published runs lie, seen from the checkout.
const RUNS: &str = "../shared/data/published";

/// Prints the table; `rows` lists every row, `bands` prints the table of bands instead.
///
/// # Errors
/// The published runs are not there, or the planner does not build.
pub fn run(rows: bool, bands: bool) -> Result<(), Failure> {
    if !places::root().join(RUNS).is_dir() {
        return Err(
            Failure::new(format!("there are no published runs in {RUNS}"))
                .help("they are not part of the project; put their folder there"),
        );
    }
    let flags = [(rows, "--rows"), (bands, "--bands")];
    let flags = flags.into_iter().filter(|(asked, _)| *asked);
    let arguments = [
        "run",
        "--quiet",
        "--release",
        "-p",
        "pleach-planner",
        "--example",
        "accuracy",
        "--",
        RUNS,
    ];
    let mut command = cargo(arguments);
    command.args(flags.map(|(_, flag)| flag));
    process::run(&mut command)
}
