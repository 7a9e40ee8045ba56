//! Text that a machine has: what its packages document, and the sources of Rust packages.
//!
//! In comes nothing, out come files in one order, and the text of each that is one.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Endings of text.
const TEXT: [&str; 9] = ["rs", "md", "txt", "toml", "html", "py", "c", "h", "gz"];
/// A file larger than this was written by a program.
const LARGEST: u64 = 1 << 20;

/// All candidates: two files of packages' documentation for each of Rust sources, by path, as long as there are any.
pub fn files() -> impl Iterator<Item = PathBuf> {
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo = cargo.or_else(|| Some(dirs::home_dir()?.join(".cargo")));
    let sources = cargo.map_or_else(Vec::new, |cargo| below(&cargo.join("registry/src")));
    let documents = below(Path::new("/usr/share/doc"));
    let (mut sources, mut documents) = (sources.into_iter(), documents.into_iter());
    let mut turn = 0;
    std::iter::from_fn(move || {
        turn += 1;
        match turn % 3 {
            0 => sources.next().or_else(|| documents.next()),
            _ => documents.next().or_else(|| sources.next()),
        }
    })
}

/// The text of a file; none where it is no UTF-8 or has none.
pub fn text(path: &Path) -> Option<String> {
    let packed = path.extension().is_some_and(|ending| ending == "gz");
    if !packed {
        return fs::read_to_string(path)
            .ok()
            .filter(|text| !text.is_empty());
    }
    let mut command = Command::new("gzip");
    command
        .arg("-dc")
        .arg(path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let mut text = String::new();
    let read = child.stdout.take()?.read_to_string(&mut text);
    child.wait().ok()?;
    read.ok().filter(|&length| length > 0).map(|_| text)
}

/// Files of text below a folder, sorted.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, kind) = (entry.path(), entry.file_type());
            let ending = path.extension().and_then(|ending| ending.to_str());
            match kind {
                Ok(kind) if kind.is_dir() => folders.push(path),
                Ok(kind)
                    if kind.is_file() && ending.is_some_and(|ending| TEXT.contains(&ending)) =>
                {
                    let size = entry.metadata().map_or(u64::MAX, |data| data.len());
                    if size <= LARGEST {
                        found.push(path);
                    }
                }
                _ => {}
            }
        }
    }
    found.sort();
    found
}
