//! `cargo xtask test`: everything that must hold before a change goes in, with one line at the end that counts it.
//!
//! Format, lints, one build in one profile, every test of the workspace. What the machine cannot have (no network for
//! libtorch or Python, no clippy) is skipped with its reason and counted as skipped, never as passed.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use crate::process::{Doing, Failure, ask, cargo, line};
use crate::setup;

/// The word with which a test says that it could not ask its question: `skipped: reason`.
pub const SKIPPED: &str = "skipped: ";

/// Set for tests: the binaries are built, nobody has to build them again.
pub const BUILT: &str = "PLEACH_BUILT";

/// Set for tests: what this machine has. A test that misses it nevertheless fails, it does not skip.
pub const PRESENT: &str = "PLEACH_PRESENT";

/// In [`PRESENT`]: libtorch, so that there is a worker.
pub const WORKER: &str = "worker";

/// In [`PRESENT`]: the Python environment.
pub const PYTHON: &str = "python";

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
}

/// Runs the suite; true if nothing failed.
///
/// # Errors
/// A child process could not be started.
pub fn run() -> Result<bool, Failure> {
    let begin = Instant::now();
    let mut tally = Tally::default();
    let torch = setup::run(false)
        .map_err(|failure| tally.skip("everything that needs libtorch", &failure))
        .is_ok();
    let python = setup::python::ensure()
        .map_err(|failure| tally.skip("comparisons with PyTorch", &failure))
        .is_ok();
    // Optional sources of text are tested too.
    let workspace = ["--workspace", "--features", "pleach/parquet"];
    let selection: &[&str] = if torch {
        &workspace
    } else {
        &[&workspace[..], &["--exclude", "pleach-executor"]].concat()
    };
    tally.component("fmt", "rustfmt", &["fmt", "--all", "--check"])?;
    let lints = [
        &["clippy"],
        selection,
        &["--all-targets", "--quiet", "--", "--deny", "warnings"],
    ]
    .concat();
    tally.component("clippy", "clippy", &lints)?;
    let build = [&["build"], selection, &["--all-targets"]].concat();
    if tally.step(cargo(build))? {
        // Output of passing tests holds the reasons of skipped ones.
        let shown = ["--", "--show-output"];
        let tests = [&["test", "--no-fail-fast"], selection, &shown].concat();
        let mut command = cargo(tests);
        command.env(BUILT, "1").env(PRESENT, present(torch, python));
        tally.tests(&mut command)?;
    }
    eprintln!("took {} s", begin.elapsed().as_secs());
    println!(
        "{} passed, {} failed, {} skipped",
        tally.passed, tally.failed, tally.skipped
    );
    Ok(tally.failed == 0)
}

fn present(torch: bool, python: bool) -> String {
    let named = [(torch, WORKER), (python, PYTHON)];
    let names: Vec<&str> = named
        .iter()
        .filter(|(there, _)| *there)
        .map(|(_, name)| *name)
        .collect();
    names.join(" ")
}

impl Tally {
    fn skip(&mut self, what: &str, why: &Failure) {
        self.skipped += 1;
        println!("{SKIPPED}{what}: {why}");
    }

    /// A check by a component of the toolchain that a machine may not have.
    fn component(
        &mut self,
        command: &str,
        component: &str,
        arguments: &[&str],
    ) -> Result<(), Failure> {
        if ask(&mut cargo([command, "--version"])).is_none() {
            let help = format!("`rustup component add {component}`");
            self.skip(
                &format!("cargo {command}"),
                &Failure::new("it is not installed").help(help),
            );
            return Ok(());
        }
        self.step(cargo(arguments)).map(|_| ())
    }

    /// One command that counts as one test.
    fn step(&mut self, mut command: Command) -> Result<bool, Failure> {
        println!("== {}", line(&command));
        let status = command
            .status()
            .doing(|| format!("could not start {}", line(&command)))?;
        if status.success() {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
        Ok(status.success())
    }

    /// Runs the tests, shows what they say and counts it.
    fn tests(&mut self, command: &mut Command) -> Result<(), Failure> {
        println!("== {}", line(command));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .doing(|| format!("could not start {}", line(command)))?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let others = thread::spawn(move || {
            err.map(|pipe| follow(pipe, std::io::stderr()))
                .unwrap_or_default()
        });
        let mut counted = out
            .map(|pipe| follow(pipe, std::io::stdout()))
            .unwrap_or_default();
        counted.add(others.join().expect("following a pipe does not panic"));
        let status = child
            .wait()
            .doing(|| "could not wait for cargo".to_owned())?;
        if !status.success() && counted.failed == 0 {
            counted.failed = 1;
        }
        counted.passed = counted.passed.saturating_sub(counted.skipped);
        self.add(counted);
        Ok(())
    }

    fn add(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Counts what one line of a test run says. A test that skips passes for cargo; who sums up subtracts it.
    fn count(&mut self, text: &str) {
        if text.contains(SKIPPED) {
            self.skipped += 1;
        }
        let Some(summary) = text.strip_prefix("test result: ") else {
            return;
        };
        let of = |word: &str| {
            let part = summary
                .split([';', '.'])
                .map(str::trim)
                .find(|part| part.ends_with(word));
            part.and_then(|part| part.split(' ').next()?.parse::<u64>().ok())
                .unwrap_or(0)
        };
        self.passed += of(" passed");
        self.failed += of(" failed");
        self.skipped += of(" ignored");
        self.passed += of(" ignored");
    }
}

/// Copies a pipe to the terminal line by line and counts on the way.
fn follow(pipe: impl Read, mut terminal: impl Write) -> Tally {
    let mut tally = Tally::default();
    let mut reader = BufReader::new(pipe);
    let mut bytes = Vec::new();
    while reader
        .read_until(b'\n', &mut bytes)
        .is_ok_and(|length| length > 0)
    {
        // A closed terminal is no reason to stop counting.
        let _ = terminal.write_all(&bytes).and_then(|()| terminal.flush());
        tally.count(String::from_utf8_lossy(&bytes).trim_end());
        bytes.clear();
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_added_and_skips_counted() {
        let output = "running 3 tests\ntest a ... ok\nskipped: no python3\n\
            test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            test result: FAILED. 2 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.50s\n";
        let tally = follow(output.as_bytes(), std::io::sink());
        assert_eq!(
            tally,
            Tally {
                passed: 6,
                failed: 4,
                skipped: 2
            }
        );
    }

    #[test]
    fn a_line_that_merely_mentions_a_result_is_not_counted() {
        let tally = follow(
            "note: test result: ok. 3 passed\n".as_bytes(),
            std::io::sink(),
        );
        assert_eq!(tally, Tally::default());
    }
}
