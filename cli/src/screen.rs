//! The screen: data to stdout, everything else to stderr, colour only where it is wanted.
//!
//! In come the global flags, `NO_COLOR`, `FORCE_COLOR` and whether the streams are terminals; every other module prints
//! through here, so that `--json`, `-q` and a closed pipe are handled in one place.

pub mod comparison;
pub mod diagnostic;
pub mod figures;
pub mod table;

use std::cell::RefCell;
use std::io::{IsTerminal, Write};

use diagnostic::Diagnostic;
use pleach_dsl::Problems;
use serde_json::{Value, json};

use crate::arguments::{Color, Global, LogFormat};
use crate::exit::Exit;
use crate::failure::Failure;

/// Where and how things are printed.
#[derive(Clone, Debug)]
pub struct Screen {
    /// One JSON value instead of a screen.
    pub json: bool,
    /// Colour on stderr.
    pub color_err: bool,
    /// A progress line that is drawn over itself.
    pub live: bool,
    /// No progress at all.
    pub no_progress: bool,
    /// Notes and progress as JSON lines.
    pub json_log: bool,
    quiet: bool,
    verbose: bool,
    /// Diagnostics for programs, printed together at the end.
    held: RefCell<Vec<Value>>,
}

impl Screen {
    /// Decides from flags, environment and streams.
    pub fn new(global: &Global) -> Self {
        let json_log = global.log_format == LogFormat::Json;
        let terminal = std::io::stderr().is_terminal();
        Self {
            json: global.json,
            color_err: wants_color(global.color, terminal),
            live: terminal && !global.no_progress && !global.quiet && !global.json && !json_log,
            no_progress: global.no_progress || global.quiet || (global.json && !json_log),
            json_log,
            quiet: global.quiet,
            verbose: global.verbose,
            held: RefCell::default(),
        }
    }

    /// The answer, to stdout, with a line end. A reader who closed the pipe has seen enough; an answer that is lost in
    /// any other way must not look like success.
    pub fn data(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let line_end = if text.ends_with('\n') { "" } else { "\n" };
        let written = write!(out, "{text}{line_end}").and_then(|()| out.flush());
        self.answered(written);
    }

    /// Ends the program where an answer cannot be written. A reader who closed the pipe has seen enough.
    fn answered(&self, written: std::io::Result<()>) {
        if let Err(error) = written
            && error.kind() != std::io::ErrorKind::BrokenPipe
        {
            let message = format!("the answer could not be written: {error}");
            self.failure(
                &Failure::machine("pleach::file::answer", message)
                    .help("stdout must be open and have room"),
            );
            self.finish();
            std::process::exit(Exit::Machine as i32);
        }
    }

    /// A piece of an answer that comes bit by bit, to stdout at once.
    pub fn stream(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let written = write!(out, "{text}").and_then(|()| out.flush());
        drop(out);
        self.answered(written);
    }

    /// The answer as one JSON value.
    pub fn data_json(&self, value: &Value) {
        self.data(&pretty(value));
    }

    /// A note to stderr, unless quiet. With `--json` stderr is for diagnostics alone, unless a log was asked for.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.log("info", text);
        }
    }

    /// A note that only `-v` shows.
    pub fn detail(&self, text: &str) {
        if self.verbose {
            self.log("debug", text);
        }
    }

    /// Something the reader should look at, also when quiet.
    pub fn warn(&self, code: &str, text: &str) {
        if self.json {
            let warning = Diagnostic {
                severity: "warning",
                ..Diagnostic::error(code, text)
            };
            self.held.borrow_mut().push(warning.json());
        } else {
            self.log(
                "warning",
                &if self.json_log {
                    text.to_owned()
                } else {
                    format!("warning: {text}")
                },
            );
        }
    }

    /// Warnings of a spec that does not stop the command.
    pub fn warn_of(&self, warnings: &Problems) {
        if self.json {
            self.held.borrow_mut().extend(list(warnings));
        } else {
            self.problems(warnings);
        }
    }

    /// A failure: snippets and help for people, one array for programs; stderr in both cases.
    pub fn failure(&self, failure: &Failure) {
        if self.json {
            let mut held = self.held.borrow_mut();
            held.extend(all_json(&failure.problems, &failure.diagnostics));
            return;
        }
        failure
            .problems
            .iter()
            .for_each(|problems| self.problems(problems));
        for diagnostic in &failure.diagnostics {
            self.line(diagnostic.text(self.color_err).trim_end());
        }
    }

    /// Ends the command: diagnostics that were held back for programs become one array on stderr.
    pub fn finish(&self) {
        let held = self.held.take();
        if !held.is_empty() {
            self.line(&pretty(&Value::Array(held)));
        }
    }

    fn problems(&self, problems: &Problems) {
        if !problems.is_empty() {
            self.line(problems.render(self.color_err).trim_end());
        }
    }

    /// Whether a question can be asked: both ends are a terminal.
    pub fn can_ask(&self) -> bool {
        !self.json && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// Asks on the terminal; anything but yes is no.
    pub fn ask(&self, question: &str) -> bool {
        let mut err = std::io::stderr().lock();
        let _ = write!(err, "{question} [y/N] ").and_then(|()| err.flush());
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer);
        read.is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
    }

    fn log(&self, level: &str, text: &str) {
        if self.json && !self.json_log {
            return;
        }
        if self.json_log {
            self.line(&json!({"level": level, "message": text}).to_string());
        } else {
            self.line(text);
        }
    }

    /// One line to stderr as it stands.
    pub fn line(&self, text: &str) {
        // A closed stderr leaves nobody to tell.
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("a JSON value always serialises")
}

/// All diagnostics as one list.
pub fn all_json(problems: &[Problems], diagnostics: &[Diagnostic]) -> Vec<Value> {
    problems
        .iter()
        .flat_map(list)
        .chain(diagnostics.iter().map(Diagnostic::json))
        .collect()
}

fn list(problems: &Problems) -> Vec<Value> {
    match problems.to_json() {
        Value::Array(list) => list,
        other => vec![other],
    }
}

/// `--color` over `NO_COLOR` over `FORCE_COLOR` over the stream.
pub fn wants_color(flag: Color, terminal: bool) -> bool {
    let set =
        |name| std::env::var_os(name).is_some_and(|value: std::ffi::OsString| !value.is_empty());
    match flag {
        Color::Always => true,
        Color::Never => false,
        Color::Auto if set("NO_COLOR") => false,
        Color::Auto => set("FORCE_COLOR") || terminal,
    }
}
