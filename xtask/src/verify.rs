//! `cargo xtask verify`: the verifier against many more random programs than the suite tries.
//!
//! The work is the suite's own test, given larger counts.

use crate::process::{self, Failure, cargo};

/// Random specs whose plans must verify, and mutants that change a result and must be refused.
const COUNTS: [(&str, &str); 2] = [("PLEACH_SPECS", "10000"), ("PLEACH_MUTANTS", "2000")];

/// Runs it, optimised.
///
/// # Errors
/// A plan was refused that is right, or a mutant accepted that is wrong.
pub fn run() -> Result<(), Failure> {
    let arguments = [
        "test",
        "--release",
        "-p",
        "pleach-planner",
        "--test",
        "mutants",
    ];
    let mut command = cargo(arguments);
    command.args(["--", "--show-output"]).envs(COUNTS);
    process::run(&mut command)
}
