//! Text as it lies on the disk: which files, in which form, and what a document of them is.
//!
//! In come paths, folders and globs; out come files in one order that all machines share ([`inputs`]), and raw records in that order
//! ([`Records`]): a line of a JSONL file, or a whole file of any other kind. What a record holds is found by [`Fields`], elsewhere and in parallel.

mod files;
mod lines;
mod parquet;
mod record;
mod source;

use std::fmt;
use std::path::{Path, PathBuf};

pub use files::inputs;
pub(crate) use files::snapshot;
pub use record::{Fault, Fields};
pub use source::{Batch, Place, Raw, Records};

/// How a file holds documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// All of it is one document.
    Text,
    /// A JSON object a line, with a document in one of its fields.
    Lines,
}

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// gzip, also of several members.
    Gzip,
    /// Zstandard, also of several frames.
    Zstd,
    /// Columns of Parquet, of which rows are made lines.
    Parquet,
}

/// A file of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Where it is.
    pub path: PathBuf,
    /// Its size as it lies there.
    pub bytes: u64,
    /// When it was last changed, in nanoseconds since 1970; 0 where the system does not say.
    pub changed: u64,
    /// How it holds documents.
    pub form: Form,
    /// How it is packed.
    pub packing: Packing,
}

impl Input {
    /// Form and packing by the name.
    pub(crate) fn by_name(path: &Path) -> (Form, Packing) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.to_lowercase();
        let endings = [
            (".gz", Packing::Gzip),
            (".zst", Packing::Zstd),
            (".zstd", Packing::Zstd),
        ];
        if name.ends_with(".parquet") {
            return (Form::Lines, Packing::Parquet);
        }
        let packed = endings
            .iter()
            .find_map(|(ending, packing)| Some((name.strip_suffix(ending)?, *packing)));
        let (bare, packing) = packed.unwrap_or((&name, Packing::Plain));
        let lines = [".jsonl", ".ndjson", ".json"];
        let form = match lines.iter().any(|ending| bare.ends_with(ending)) {
            true => Form::Lines,
            false => Form::Text,
        };
        (form, packing)
    }
}

/// A place in text, for people: `corpus.jsonl:17`, or the file alone where it is one document.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct At {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1; none where the whole file is meant.
    pub line: Option<u64>,
}

impl fmt::Display for At {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(out, "{}:{line}", self.path.display()),
            None => write!(out, "{}", self.path.display()),
        }
    }
}

#[cfg(test)]
mod tests;
