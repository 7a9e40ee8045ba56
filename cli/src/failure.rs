//! Failures of the world and of the program: a code, what happened, where, and a help that works.
//!
//! Problems of a spec are collected by `dsl` and arrive here already described; everything else that ends a command is made
//! with [`Failure::wish`] (the reader can mend it) or [`Failure::machine`] (the machine or we are at fault).

use std::path::Path;

use pleach_dsl::Problems;

use crate::exit::Exit;
use crate::screen::diagnostic::Diagnostic;

/// Why a command ended without its answer.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What is wrong in specs, one entry for each experiment that was read.
    pub problems: Vec<Problems>,
    /// What else to tell.
    pub diagnostics: Vec<Diagnostic>,
}

/// The result of a command's step.
pub type Outcome<T> = Result<T, Failure>;

impl Failure {
    /// The reader can mend it: exit code 1.
    pub fn wish(code: &str, message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Wish,
            problems: Vec::new(),
            diagnostics: vec![Diagnostic::error(code, message)],
        }
    }

    /// Problems of specs: exit code 1.
    pub fn problems(problems: Vec<Problems>) -> Self {
        Self {
            exit: Exit::Wish,
            problems,
            diagnostics: Vec::new(),
        }
    }

    /// The machine or the program is at fault: exit code 2.
    pub fn machine(code: &str, message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Machine,
            ..Self::wish(code, message)
        }
    }

    /// The run stopped and can be resumed: exit code 10.
    pub fn fault(code: &str, message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Fault,
            ..Self::wish(code, message)
        }
    }

    /// What is wrong, in its first title.
    pub fn title(&self) -> String {
        let problem = self.problems.iter().flat_map(Problems::iter).next();
        match (problem, self.diagnostics.first()) {
            (Some(problem), _) => problem.title.clone(),
            (None, Some(diagnostic)) => diagnostic.message.clone(),
            (None, None) => String::new(),
        }
    }

    /// Whether it has a code.
    pub fn is_about(&self, code: &str) -> bool {
        self.diagnostics.iter().any(|own| own.code == code)
    }

    /// Adds what to do about it to the last diagnostic.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        if let Some(last) = self.diagnostics.last_mut() {
            last.help = Some(help.into());
        }
        self
    }

    /// Adds lines of detail below the last diagnostic's message.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        if let Some(last) = self.diagnostics.last_mut() {
            last.detail = Some(detail.into());
        }
        self
    }

    /// The same with one more line below the message.
    #[must_use]
    pub fn line(mut self, line: String) -> Self {
        if let Some(last) = self.diagnostics.last_mut() {
            last.detail = Some(match last.detail.take() {
                Some(before) => format!("{before}\n{line}"),
                None => line,
            });
        }
        self
    }

    /// A file or folder that could not be read, told apart by what the system said.
    pub fn reading(path: &Path, error: &std::io::Error) -> Self {
        let shown = path.display();
        match error.kind() {
            std::io::ErrorKind::NotFound => Self::wish(
                "pleach::file::missing",
                format!("there is no file `{shown}`"),
            )
            .help(nearest_help(path)),
            std::io::ErrorKind::IsADirectory => Self::wish(
                "pleach::file::folder",
                format!("`{shown}` is a folder, not a file"),
            )
            .help("name a file inside it"),
            std::io::ErrorKind::PermissionDenied => Self::wish(
                "pleach::file::permission",
                format!("`{shown}` may not be read by this user"),
            )
            .help(format!("`chmod u+r {shown}`, or run as its owner")),
            std::io::ErrorKind::InvalidData => Self::wish(
                "pleach::file::text",
                format!("`{shown}` is not text in UTF-8"),
            )
            .help("save it as UTF-8"),
            _ => Self::machine(
                "pleach::file::read",
                format!("`{shown}` could not be read: {error}"),
            ),
        }
    }

    /// A file or folder that could not be written.
    pub fn writing(path: &Path, error: &std::io::Error) -> Self {
        let shown = path.display();
        Self::machine(
            "pleach::file::write",
            format!("`{shown}` could not be written: {error}"),
        )
        .help("the folder must exist, be writable and have room; nothing was changed")
    }
}

/// Names the file in the same folder that looks most like the missing one, or says where the path was looked up.
fn nearest_help(path: &Path) -> String {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let wanted = path
        .file_name()
        .map(|name| name.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    let Ok(entries) = std::fs::read_dir(folder) else {
        return format!("there is no folder `{}` either", folder.display());
    };
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let like = names
        .iter()
        .map(|name| {
            (
                strsim::damerau_levenshtein(&name.to_lowercase(), &wanted),
                name,
            )
        })
        .min();
    match like {
        Some((distance, name)) if distance <= (wanted.chars().count() / 3).max(1) => {
            format!("did you mean `{}`?", folder.join(name).display())
        }
        _ => {
            let specs: Vec<&String> = names
                .iter()
                .filter(|name| name.ends_with(".pleach"))
                .take(8)
                .collect();
            if specs.is_empty() {
                return format!(
                    "`{}` holds no spec; -C DIR changes the folder",
                    folder.display()
                );
            }
            let list = specs
                .into_iter()
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", ");
            format!("`{}` holds {list}", folder.display())
        }
    }
}
