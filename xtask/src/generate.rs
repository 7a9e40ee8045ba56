//! `cargo xtask generate`: brings the files that are made from the language's schema up to date.
//!
//! The test that holds them up to date is asked to write them instead, so that this crate need not link the language.

use crate::process::{self, Failure, cargo};

/// Writes them.
///
/// # Errors
/// The language does not build.
pub fn run() -> Result<(), Failure> {
    let mut command = cargo([
        "test",
        "--quiet",
        "-p",
        "pleach-dsl",
        "--test",
        "suite",
        "generated_files",
    ]);
    command.env("PLEACH_GENERATE", "write");
    process::run(&mut command)
}
