//! `pleach fmt FILE… | -`: lays specs out in the one canonical form.
//!
//! In come files or stdin; the laid-out text replaces a file whole, goes to stdout for stdin, or is only compared with `--check` and `--diff`. A file
//! that cannot be read as a spec stays as it is and its problems are told; the other files are laid out all the same.

use std::io::Read as _;
use std::path::Path;

use pleach_dsl::{Failure as Refusal, Loader as _};
use serde_json::{Value, json};
use similar::TextDiff;

use crate::arguments::FmtArguments;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::loader::{Files, SIZE_LIMIT};
use crate::screen::Screen;

/// A spec before and after.
struct Laid {
    written: String,
    formatted: String,
}

impl Laid {
    fn changes(&self) -> bool {
        self.written != self.formatted
    }

    /// The change as a unified diff.
    fn diff(&self, name: &str) -> String {
        let diff = TextDiff::from_lines(&self.written, &self.formatted);
        diff.unified_diff()
            .context_radius(3)
            .header(name, &format!("{name} (formatted)"))
            .to_string()
    }
}

/// Lays out; with `--json` one object tells which files changed or would.
pub fn fmt(screen: &Screen, arguments: &FmtArguments) -> Outcome<Exit> {
    let mut failed = Failure::problems(Vec::new());
    let mut listed = Vec::new();
    let mut changed = false;
    for file in &arguments.files {
        match lay_out(file) {
            Ok(laid) => {
                changed |= laid.changes();
                if screen.json {
                    listed.push(told(file, &laid, arguments));
                } else {
                    show(screen, file, &laid, arguments);
                }
                keep(screen, file, &laid, arguments)?;
            }
            Err(mut failure) => {
                if failure.exit == Exit::Machine {
                    failed.exit = Exit::Machine;
                }
                failed.problems.append(&mut failure.problems);
                failed.diagnostics.append(&mut failure.diagnostics);
            }
        }
    }
    if screen.json {
        screen.data_json(&json!({"files": listed}));
    }
    if !failed.problems.is_empty() || !failed.diagnostics.is_empty() {
        return Err(failed);
    }
    let refused = arguments.check && changed;
    Ok(if refused { Exit::Wish } else { Exit::Fine })
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// One file for programs.
fn told(file: &Path, laid: &Laid, arguments: &FmtArguments) -> Value {
    let name = file.display().to_string();
    let diff = arguments.diff.then(|| laid.diff(&name));
    let text = is_stdin(file).then_some(&laid.formatted);
    json!({"file": name, "changed": laid.changes(), "diff": diff, "text": text})
}

/// One file for people: its diff, its name where it would change, or the text of stdin.
fn show(screen: &Screen, file: &Path, laid: &Laid, arguments: &FmtArguments) {
    let name = file.display().to_string();
    let text = match (arguments.diff, arguments.check) {
        (true, _) => laid.diff(&name),
        (_, true) if laid.changes() => name,
        (false, false) if is_stdin(file) => laid.formatted.clone(),
        _ => String::new(),
    };
    if !text.is_empty() {
        screen.data(&text);
    }
}

/// Writes a file that changes, unless it was only asked about.
fn keep(screen: &Screen, file: &Path, laid: &Laid, arguments: &FmtArguments) -> Outcome<()> {
    let asked = arguments.check || arguments.diff || is_stdin(file);
    if !asked && laid.changes() {
        write(file, &laid.formatted)?;
        screen.note(&format!("{}: laid out", file.display()));
    }
    Ok(())
}

fn lay_out(file: &Path) -> Outcome<Laid> {
    let (name, written) = if is_stdin(file) {
        ("<stdin>".to_owned(), read_stdin()?)
    } else {
        (file.display().to_string(), read(file)?)
    };
    match pleach_dsl::format(&name, &written) {
        Ok(formatted) => Ok(Laid { written, formatted }),
        Err(problems) => Err(Failure::problems(vec![problems])),
    }
}

fn read(file: &Path) -> Outcome<String> {
    let text = Files::of(file)?.load(&file.to_string_lossy());
    text.map_err(|refusal| {
        let shown = file.display();
        let why = match refusal {
            Refusal::Missing => "it is gone".to_owned(),
            Refusal::Unreadable(why) => why,
        };
        Failure::wish(
            "pleach::file::read",
            format!("`{shown}` cannot be read as a spec: {why}"),
        )
    })
}

fn read_stdin() -> Outcome<String> {
    let mut bytes = Vec::new();
    let name = Path::new("<stdin>");
    std::io::stdin()
        .lock()
        .take(SIZE_LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::reading(name, &error))?;
    if bytes.len() as u64 > SIZE_LIMIT {
        let most = SIZE_LIMIT >> 20;
        let message = format!("stdin has more than {most} MiB, the most that a spec may have");
        return Err(Failure::wish("pleach::file::size", message));
    }
    String::from_utf8(bytes)
        .map_err(|_| Failure::reading(name, &std::io::ErrorKind::InvalidData.into()))
}

/// Replaces the file whole; a link stays a link, and permissions stay.
fn write(file: &Path, text: &str) -> Outcome<()> {
    let failing = |error: std::io::Error| Failure::writing(file, &error);
    let real = file.canonicalize().map_err(failing)?;
    let permissions = real.metadata().map_err(failing)?.permissions();
    pleach_storage::files::replace(&real, text.as_bytes())
        .map_err(|error| failing(error.source))?;
    std::fs::set_permissions(&real, permissions).map_err(failing)
}
