//! Which files are meant by what was written: paths, folders, globs.
//!
//! In come names; out come files, each once, sorted by path. A folder means all visible files below it; `*` stays within a folder, `**` crosses folders.
//! Token files and what tokenization leaves beside its output are no text and are passed over.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use globset::GlobBuilder;
use pleach_storage::files::At;
use walkdir::{DirEntry, WalkDir};

use super::Input;
use crate::DataError;

/// Endings of files that are no text.
const NO_TEXT: [&str; 3] = ["bin", "idx", "lengths"];

/// The files that names mean.
///
/// # Errors
/// A name that means no file, a glob that does not parse, or the system's.
pub fn inputs(names: &[PathBuf]) -> Result<Vec<Input>, DataError> {
    let mut found = BTreeMap::new();
    for name in names {
        let paths = meant(name)?;
        if paths.is_empty() {
            let name = name.display().to_string();
            return Err(DataError::NoInput { name });
        }
        for path in paths {
            let input = input(&path)?;
            found.insert(path, input);
        }
    }
    Ok(found.into_values().collect())
}

fn input(path: &Path) -> Result<Input, DataError> {
    let metadata = fs::metadata(path).at("read", path)?;
    let since = metadata.modified().ok();
    let since = since.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let (form, packing) = Input::by_name(path);
    Ok(Input {
        path: path.to_path_buf(),
        bytes: metadata.len(),
        changed: since.map_or(0, |time| time.as_nanos() as u64),
        form,
        packing,
    })
}

/// The files behind one name.
fn meant(name: &Path) -> Result<Vec<PathBuf>, DataError> {
    if name.is_file() {
        return Ok(vec![name.to_path_buf()]);
    }
    if name.is_dir() {
        return below(name, |_| true);
    }
    let text = name.to_string_lossy();
    let text = text.strip_prefix("./").unwrap_or(&text);
    let Some(special) = text.find(['*', '?', '[', '{']) else {
        return Ok(Vec::new());
    };
    let glob = GlobBuilder::new(text).literal_separator(true).build();
    let glob = glob.map_err(|error| DataError::Glob {
        component: text.to_owned(),
        glob: text.to_owned(),
        reason: error.kind().to_string(),
    })?;
    let matcher = glob.compile_matcher();
    let root = match text[..special].rfind('/') {
        Some(0) => Path::new("/"),
        Some(end) => Path::new(&text[..end]),
        None => Path::new("."),
    };
    below(root, |path| {
        matcher.is_match(path.strip_prefix("./").unwrap_or(path))
    })
}

/// All visible files below a folder that are wanted, by path.
fn below(root: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>, DataError> {
    let visible = |entry: &DirEntry| {
        entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b".")
    };
    let mut found = Vec::new();
    for entry in WalkDir::new(root).into_iter().filter_entry(visible) {
        let entry = entry.map_err(std::io::Error::from).at("list", root)?;
        let path = entry.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        let text = ending.is_none_or(|ending| !NO_TEXT.contains(&ending));
        if entry.file_type().is_file() && text && wanted(path) {
            found.push(path.strip_prefix("./").unwrap_or(path).to_path_buf());
        }
    }
    found.sort();
    Ok(found)
}
