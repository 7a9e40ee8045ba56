//! `cargo xtask bench`.
use crate::process::Failure;
/// Runs it.
///
/// # Errors
/// Not there yet.
pub fn run() -> Result<(), Failure> {
    Err(Failure::new("not there yet"))
}
