//! `cargo xtask verify`: the verifier and the search against many more random cases than the suite tries.
//!
//! The work is the suite's own test, given larger counts.

use crate::process::{self, Failure, cargo};

/// Random specs whose plans must verify, mutants that change a result and must be refused, and spaces in which the search must
/// find what brute force finds.
const COUNTS: [(&str, &str); 3] = [
    ("PLEACH_SPECS", "10000"),
    ("PLEACH_MUTANTS", "2000"),
    ("PLEACH_SPACES", "500"),
];

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
