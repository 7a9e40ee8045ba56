//! One diagnostic of the command itself, for people and for programs.
//!
//! The form is that of a spec's problems, which the language renders itself: code, severity, message, labels, help. A failure
//! of the world has no place in a text, so its labels stay empty in JSON and its detail stands below the message.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// Something to tell the reader.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// Stable code: `pleach::file::missing`.
    pub code: String,
    /// `error` or `warning`.
    pub severity: &'static str,
    /// One lower-case sentence with the actual values.
    pub message: String,
    /// Further lines: what was found, the arithmetic.
    pub detail: Option<String>,
    /// An action that works.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error without a place in a text.
    pub fn error(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            severity: "error",
            message: message.into(),
            detail: None,
            help: None,
        }
    }

    /// The screen form.
    pub fn text(&self, color: bool) -> String {
        let (red, cyan, reset) = if color {
            ("\x1b[31m", "\x1b[36m", "\x1b[0m")
        } else {
            ("", "", "")
        };
        let mut text = format!("{red}{}{reset}\n\n", self.code);
        push_wrapped(
            &mut text,
            &format!("  {red}×{reset} "),
            "  │ ",
            &self.message,
        );
        for line in self.detail.iter().flat_map(|detail| detail.lines()) {
            let indent = line.len() - line.trim_start().len();
            let rest = format!("  │ {:indent$}  ", "");
            push_wrapped(
                &mut text,
                &format!("  │ {:indent$}", ""),
                &rest,
                line.trim_start(),
            );
        }
        if let Some(help) = &self.help {
            push_wrapped(
                &mut text,
                &format!("  {cyan}help:{reset} "),
                "        ",
                help,
            );
        }
        text
    }

    /// The form for programs.
    pub fn json(&self) -> Value {
        let message = match &self.detail {
            Some(detail) => format!("{}\n{detail}", self.message),
            None => self.message.clone(),
        };
        json!({"code": self.code, "severity": self.severity, "message": message, "labels": [], "help": self.help})
    }
}

/// Appends `body`, broken at words so that lines stay within 80 columns.
fn push_wrapped(text: &mut String, first: &str, rest: &str, body: &str) {
    const WIDTH: usize = 74;
    let mut lead = first;
    for paragraph in body.lines() {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
                let _ = writeln!(text, "{lead}{line}");
                lead = rest;
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        let _ = writeln!(text, "{lead}{line}");
        lead = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_stay_within_eighty_columns() {
        let diagnostic = Diagnostic::error("pleach::x", "a word ".repeat(60).trim_end().to_owned());
        assert!(
            diagnostic
                .text(false)
                .lines()
                .all(|line| line.chars().count() <= 80)
        );
        assert_eq!(diagnostic.text(false).matches("word").count(), 60);
    }

    #[test]
    fn json_has_the_promised_fields() {
        let value = Diagnostic::error("pleach::x", "m").json();
        for field in ["code", "severity", "message", "labels", "help"] {
            assert!(value.get(field).is_some(), "{field}");
        }
    }
}
