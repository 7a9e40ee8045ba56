//! The sources of this checkout as texts, for the tests that keep them tidy.

use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};
use xtask::places;

/// One file of the checkout.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its path, relative to the checkout.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// All files below `folder` of the checkout whose names end in one of `endings`, sorted by path.
pub fn files(folder: &str, endings: &[&str]) -> Vec<Source> {
    let root = places::root();
    let ours = |entry: &DirEntry| !is_foreign(entry, root);
    let wanted = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        endings.iter().any(|ending| name.ends_with(ending))
    };
    WalkDir::new(root.join(folder))
        .sort_by_file_name()
        .into_iter()
        .filter_entry(ours)
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file() && wanted(entry.path()))
        .map(|entry| read(entry.path(), root))
        .collect()
}

/// Folders that hold nothing we wrote: builds, links into caches, runs.
fn is_foreign(entry: &DirEntry, root: &Path) -> bool {
    let name = entry.file_name().to_string_lossy();
    let hidden = name.starts_with('.') && name != ".ci" && name != ".cargo" && entry.path() != root;
    entry.file_type().is_dir() && (hidden || matches!(&*name, "target" | "runs" | "__pycache__"))
}

fn read(path: &Path, root: &Path) -> Source {
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Source {
        path: path.strip_prefix(root).unwrap_or(path).to_owned(),
        text,
    }
}

impl Source {
    /// Its code without comments and without the test module at its end.
    pub fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let body = self.text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = body
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// Whether the whole file is test code.
    pub fn is_test(&self) -> bool {
        let path = self.path.to_string_lossy();
        path.ends_with("/tests.rs") || path.contains("/tests/") || path.starts_with("tests/")
    }
}
