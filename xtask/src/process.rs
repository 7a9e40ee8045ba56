//! Child processes and the one kind of failure these commands know: a sentence, and what helps.

use std::ffi::OsStr;
use std::fmt;
use std::process::{Command, Stdio};

use crate::places;

/// Why a command could not do its work.
#[derive(Debug)]
pub struct Failure {
    what: String,
    help: Option<String>,
}

impl Failure {
    /// A failure that says what happened.
    pub fn new(what: impl Into<String>) -> Failure {
        Failure {
            what: what.into(),
            help: None,
        }
    }

    /// The same with what helps.
    pub fn help(self, help: impl Into<String>) -> Failure {
        Failure {
            help: Some(help.into()),
            ..self
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.what)?;
        match &self.help {
            Some(help) => write!(formatter, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

/// Adds what was being done to an error of the operating system.
pub trait Doing<T> {
    /// Turns the error into a [`Failure`] that begins with `what`.
    ///
    /// # Errors
    /// The error that was there, in words.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(format!("{}: {error}", what())))
    }
}

/// Cargo, in the checkout, with the one path of libtorch that everything is built against: another one rebuilds it all.
pub fn cargo<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command
        .current_dir(places::root())
        .env("LIBTORCH", places::libtorch_link().join("torch"))
        .args(arguments);
    command
}

/// Runs a command to its end, its output on the terminal.
///
/// # Errors
/// It could not be started or did not end with 0.
pub fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command
        .status()
        .doing(|| format!("could not start {}", line(command)))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new(format!(
            "{} ended with {status}",
            line(command)
        )))
    }
}

/// Runs a command to its end and gives what it wrote to stdout; its stderr goes to the terminal.
///
/// # Errors
/// It could not be started or did not end with 0.
pub fn capture(command: &mut Command) -> Result<String, Failure> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .doing(|| format!("could not start {}", line(command)))?;
    if !output.status.success() {
        return Err(Failure::new(format!(
            "{} ended with {}",
            line(command),
            output.status
        )));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What a command that may fail or be missing says on stdout, without a word on the terminal.
pub fn ask(command: &mut Command) -> Option<String> {
    let output = command
        .stderr(Stdio::null())
        .stdin(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The command as a person would type it.
pub fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let text: Vec<String> = words.map(|word| quoted(&word.to_string_lossy())).collect();
    format!("`{}`", text.join(" "))
}

fn quoted(word: &str) -> String {
    if word.contains(char::is_whitespace) {
        format!("\"{word}\"")
    } else {
        word.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_can_be_typed_again() {
        let mut command = Command::new("pleach");
        command.args(["plan", "a.pleach", "--why-not", "tp = 8"]);
        assert_eq!(
            line(&command),
            "`pleach plan a.pleach --why-not \"tp = 8\"`"
        );
    }
}
