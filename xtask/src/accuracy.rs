//! `cargo xtask accuracy`: holds the planner's predictions against published runs, which lie beside the checkout.
//!
//! The work is an example of the planner, so that this crate need not link it.

use crate::places;
use crate::process::{self, Failure, cargo};

/// Where the published runs lie, seen from the checkout.
const RUNS: &str = "../shared/data/published";

/// Prints the table. Flags of the example: `--rows` lists every row, `--row=ID` what one row's bodies cost, `--only=SOURCE` prices one source, `--bands` writes the bands, `--fit` the constants of each chip.
///
/// # Errors
/// The published runs are not there, or the planner does not build.
pub fn run(flags: &[&str]) -> Result<(), Failure> {
    if !places::root().join(RUNS).is_dir() {
        return Err(
            Failure::new(format!("there are no published runs in {RUNS}"))
                .help("they are not part of the project; put their folder there"),
        );
    }
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
    command.args(flags);
    process::run(&mut command)
}
