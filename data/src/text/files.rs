//! Which files are meant by what was written: paths, folders, globs.
//!
//! In come names; out come files, each once whatever its spellings, sorted by path. A folder means all visible files below it; `*` stays within a folder, `**`
//! crosses folders. Links are followed. Token files with their descriptions, and folders in which tokenization is under way, are no text and are passed over.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::time::UNIX_EPOCH;

use globset::{GlobBuilder, GlobMatcher};
use pleach_storage::files::At;
use walkdir::{DirEntry, WalkDir};

use super::Input;
use crate::DataError;

/// Endings of files that are no text.
const NO_TEXT: [&str; 3] = ["bin", "idx", "lengths"];
/// How a description begins; no file of JSON lines does.
const DESCRIPTION: &[u8; 2] = b"{\n";

/// The files that names mean.
///
/// # Errors
/// A name that means no file, a glob that does not parse, or the system's.
pub fn inputs(names: &[PathBuf]) -> Result<Vec<Input>, DataError> {
    let mut found = BTreeSet::new();
    for name in names {
        let paths = meant(name)?;
        if paths.is_empty() {
            let name = name.display().to_string();
            return Err(DataError::NoInput { name });
        }
        found.extend(paths);
    }
    let (mut known, mut inputs) = (BTreeSet::new(), Vec::new());
    for path in found {
        if known.insert(fs::canonicalize(&path).at("find", &path)?) {
            inputs.push(input(&path)?);
        }
    }
    Ok(inputs)
}

/// Just these files, sorted by path; those of equal content may be links to one, as the Hub's cache makes them.
///
/// # Errors
/// The system's.
pub(crate) fn snapshot(files: &[PathBuf]) -> Result<Vec<Input>, DataError> {
    let files: BTreeSet<&PathBuf> = files.iter().collect();
    files.into_iter().map(|path| input(path)).collect()
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
    let (root, pattern) = split(name);
    if !pattern.contains(['*', '?', '[', '{']) {
        return Ok(Vec::new());
    }
    let matcher = compile(&pattern).map_err(|error| DataError::Glob {
        component: name.display().to_string(),
        glob: name.display().to_string(),
        reason: error.kind().to_string(),
    })?;
    below(&root, |path| matcher.is_match(path))
}

fn compile(pattern: &str) -> Result<GlobMatcher, globset::Error> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).build()?;
    Ok(glob.compile_matcher())
}

/// The folder that a glob begins with, and the pattern below it. What is there by its name is no pattern, whatever its name.
fn split(glob: &Path) -> (PathBuf, String) {
    let mut root = PathBuf::new();
    let mut parts = glob.components().filter(|part| *part != Component::CurDir);
    let mut pattern = PathBuf::new();
    for part in parts.by_ref() {
        if !root.join(part).is_dir() {
            pattern.push(part);
            break;
        }
        root.push(part);
    }
    pattern.extend(parts);
    if root.as_os_str().is_empty() {
        root.push(".");
    }
    (root, pattern.to_string_lossy().into_owned())
}

/// All visible files of text below a folder that are wanted by their path in it, sorted.
fn below(root: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>, DataError> {
    let wanted = |path: &Path| is_text(path) && wanted(path.strip_prefix(root).unwrap_or(path));
    let mut found = Vec::new();
    let walk = WalkDir::new(root).follow_links(true).into_iter();
    for entry in walk.filter_entry(|entry| entry.depth() == 0 || !is_closed(entry)) {
        match entry {
            Ok(entry) if entry.file_type().is_file() && wanted(entry.path()) => {
                let parts = entry.path().components();
                found.push(parts.filter(|part| *part != Component::CurDir).collect());
            }
            Ok(_) => {}
            Err(error) if is_passed_over(&error, wanted) => {}
            Err(error) => {
                let path = error.path().unwrap_or(root).to_path_buf();
                return Err(io::Error::from(error)).at("list", &path)?;
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Whether it is hidden, or a folder in which tokenization is under way.
fn is_closed(entry: &DirEntry) -> bool {
    let under_way = || entry.path().extension().is_some_and(|end| end == "partial");
    is_hidden(entry.path()) || entry.file_type().is_dir() && under_way()
}

fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.as_encoded_bytes().starts_with(b".")
}

/// Links to a folder that they lie in, which is walked already, and links to nothing that nobody wants.
fn is_passed_over(error: &walkdir::Error, wanted: impl Fn(&Path) -> bool) -> bool {
    let unwanted = |path: &Path| path.is_symlink() && (is_hidden(path) || !wanted(path));
    error.loop_ancestor().is_some() || error.depth() > 0 && error.path().is_some_and(unwanted)
}

/// Whether a file is neither of tokens nor the description that lies beside them.
fn is_text(path: &Path) -> bool {
    let Some(ending) = path.extension().and_then(|ending| ending.to_str()) else {
        return true;
    };
    let beside = |ending: &&str| path.with_extension(ending).exists();
    let described = || ending == "json" && NO_TEXT.iter().any(beside) && is_description(path);
    !NO_TEXT.contains(&ending) && !described()
}

fn is_description(path: &Path) -> bool {
    let mut begin = [0; DESCRIPTION.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut begin));
    read.is_ok() && begin == *DESCRIPTION
}
