//! Problems in the user's text, as data: they accumulate, are sorted by place, and are turned into text in `render` alone.

use crate::syntax::Place;

/// What nobody reads: past so many problems of one pass no more are collected, so that a file of nonsense ends soon.
pub const MOST_PROBLEMS: usize = 1000;

/// Takes a problem, where they are not too many already.
pub fn take(problem: Problem, problems: &mut Vec<Problem>) {
    if problems.len() < MOST_PROBLEMS {
        problems.push(problem);
    }
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The run cannot be right.
    Error,
    /// It can be right, but look.
    Warning,
}

impl Severity {
    /// The word of the JSON form.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// A place and what is to be said about it there.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// The smallest text that matters.
    pub place: Place,
    /// What is wrong there.
    pub text: String,
}

/// One mistake, one message.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// A stable code: `pleach::heads::indivisible`.
    pub code: &'static str,

    /// Error or warning.
    pub severity: Severity,
    /// One lower-case sentence that makes sense alone.
    pub title: String,
    /// What must change.
    pub at: Label,
    /// The other halves of a conflict, possibly in other files.
    pub others: Vec<Label>,
    /// A drawing over several lines that belongs to the title: the values under a failed requirement.
    pub picture: Option<String>,
    /// An action that works.
    pub help: Option<String>,
}

impl Problem {
    /// An error about a place.
    pub fn error(
        code: &'static str,
        title: impl Into<String>,
        place: Place,
        label: impl Into<String>,
    ) -> Problem {
        let at = Label {
            place,
            text: label.into(),
        };
        Problem {
            code,
            severity: Severity::Error,
            title: title.into(),
            at,
            others: Vec::new(),
            picture: None,
            help: None,
        }
    }

    /// A warning about a place.
    pub fn warning(
        code: &'static str,
        title: impl Into<String>,
        place: Place,
        label: impl Into<String>,
    ) -> Problem {
        Problem {
            severity: Severity::Warning,
            ..Problem::error(code, title, place, label)
        }
    }

    /// Adds the other half of the conflict.
    #[must_use]
    pub fn and(mut self, place: Place, label: impl Into<String>) -> Problem {
        self.others.push(Label {
            place,
            text: label.into(),
        });
        self
    }

    /// Adds the help.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }
}
