//! `cargo xtask verify`: what the suite tries a few times, many more times: the verifier and the search on random cases, or runs that are killed.
//!
//! The work is the suite's own tests, given larger counts.

use crate::process::{self, Failure, cargo};

/// Random specs whose plans must verify, mutants that change a result and must be refused, and spaces in which the search must
/// find what brute force finds.
const COUNTS: [(&str, &str); 3] = [
    ("PLEACH_SPECS", "10000"),
    ("PLEACH_MUTANTS", "2000"),
    ("PLEACH_SPACES", "500"),
];

/// Kills, each of a random process at a random moment.
const CYCLES: (&str, &str) = ("PLEACH_CYCLES", "200");

/// Runs it, optimised.
///
/// # Errors
/// A plan was refused that is right, a mutant accepted that is wrong, or a better placement overlooked.
pub fn run() -> Result<(), Failure> {
    let arguments = [
        "test",
        "--release",
        "-p",
        "pleach-planner",
        "--test",
        "mutants",
        "--test",
        "optimality",
    ];
    let mut command = cargo(arguments);
    command.args(["--", "--show-output"]).envs(COUNTS);
    process::run(&mut command)
}

/// Kills runs and goes on with them.
///
/// # Errors
/// A run lost a checkpoint, could not go on, or ended with other weights than one that was left alone.
pub fn faults() -> Result<(), Failure> {
    let mut command = cargo(["test", "-p", "pleach-tests", "--test", "runs", "--"]);
    command
        .args(["over_and_over", "--nocapture"])
        .envs([CYCLES]);
    process::run(&mut command)
}
