//! Names on the Hugging Face Hub: `hf:ORGANISATION/NAME`, with a revision behind `@`.
//!
//! In comes a name, out come paths in the cache that every tool of the Hub uses: below `HF_HUB_CACHE`, `HF_HOME/hub` or `~/.cache/huggingface/hub`. What is
//! missing there is fetched (`download.rs`), unless `HF_HUB_OFFLINE` forbids it; where that fails, the error says which file belongs where.

#[cfg(feature = "download")]
mod download;

use std::path::{Path, PathBuf};

use globset::GlobSet;
use hf_hub::{Cache, Repo, RepoType};
use pleach_storage::files::At as _;
use walkdir::{DirEntry, WalkDir};

use crate::DataError;
use crate::prepare::mix::set;

/// What begins such a name.
pub const PREFIX: &str = "hf:";
/// Files of text, where a component does not say which.
const TEXT: [&str; 4] = ["**/*.jsonl", "**/*.ndjson", "**/*.parquet", "**/*.txt"];
/// What may stand behind these.
const PACKED: [&str; 4] = ["", ".gz", ".zst", ".zstd"];
/// Lies beside the files of a dataset that was fetched here: all that the Hub has of that commit, so that nobody takes a part for the whole.
const LISTING: &str = ".pleach-listing";

/// Where names are looked up.
struct Hub {
    cache: Cache,
    /// The server, where it is not the usual one.
    #[cfg_attr(
        not(feature = "download"),
        expect(dead_code, reason = "nothing is fetched")
    )]
    endpoint: Option<String>,
    /// Whether nothing may be fetched.
    is_offline: bool,
}

impl Hub {
    /// That of this user, by the variables that every tool of the Hub reads.
    fn of_user() -> Result<Hub, DataError> {
        let known = std::env::var_os("HF_HOME").is_some() || dirs::home_dir().is_some();
        let cache = match std::env::var_os("HF_HUB_CACHE") {
            Some(folder) => Cache::new(folder.into()),
            None => known.then(Cache::from_env).ok_or(DataError::NoCache)?,
        };
        let offline = std::env::var("HF_HUB_OFFLINE").unwrap_or_default();
        Ok(Hub {
            cache,
            endpoint: std::env::var("HF_ENDPOINT").ok(),
            is_offline: ["1", "on", "yes", "true"].contains(&offline.to_lowercase().as_str()),
        })
    }
}

/// A repository of the Hub.
struct Named<'n> {
    /// As the spec says it.
    name: &'n str,
    repository: &'n str,
    revision: &'n str,
    kind: RepoType,
}

impl<'n> Named<'n> {
    fn new(name: &'n str, kind: RepoType) -> Named<'n> {
        let bare = name.strip_prefix(PREFIX).unwrap_or(name);
        let (repository, revision) = bare.split_once('@').unwrap_or((bare, "main"));
        Named {
            name,
            repository,
            revision,
            kind,
        }
    }

    /// Where its files are, or would be.
    fn folder(&self, hub: &Hub) -> PathBuf {
        let repo = Repo::new(self.repository.to_owned(), self.kind);
        let folder = hub.cache.path().join(repo.folder_name());
        // A branch or tag names a commit in a file of its own; a commit needs none, and neither does a folder that was made by hand.
        let commit = std::fs::read_to_string(folder.join("refs").join(self.revision));
        let commit = commit.unwrap_or_else(|_| self.revision.to_owned());
        folder.join("snapshots").join(commit.trim())
    }

    /// Fetches the files of it that are wanted and not there.
    fn fetch(&self, hub: &Hub, wanted: &dyn Fn(&str) -> bool) -> Result<(), String> {
        if hub.is_offline {
            return Err("HF_HUB_OFFLINE is set".to_owned());
        }
        #[cfg(feature = "download")]
        return download::fetch(self, hub, wanted);
        #[cfg(not(feature = "download"))]
        {
            let _ = wanted;
            Err("this build has no feature `download`".to_owned())
        }
    }

    fn missing(&self, hub: &Hub, file: &str, reason: String) -> DataError {
        let Named {
            repository,
            revision,
            ..
        } = self;
        let kind = match self.kind {
            RepoType::Dataset => " --repo-type dataset",
            _ => "",
        };
        let revision = match *revision {
            "main" => String::new(),
            other => format!(" --revision {other}"),
        };
        DataError::NotInCache {
            name: self.name.to_owned(),
            file: file.to_owned(),
            reason,
            path: self.folder(hub).join(file),
            command: format!("hf download {repository}{kind}{revision}"),
        }
    }
}

/// A file of a model with such a name, fetched where it is missing.
///
/// # Errors
/// It is not there and cannot be fetched.
pub fn file(name: &str, file: &str) -> Result<PathBuf, DataError> {
    file_in(&Hub::of_user()?, name, file)
}

/// The same where it is on this machine already.
pub fn kept_file(name: &str, file: &str) -> Option<PathBuf> {
    let named = Named::new(name, RepoType::Model);
    let path = named.folder(&Hub::of_user().ok()?).join(file);
    path.is_file().then_some(path)
}

fn file_in(hub: &Hub, name: &str, file: &str) -> Result<PathBuf, DataError> {
    let named = Named::new(name, RepoType::Model);
    let path = || named.folder(hub).join(file);
    if path().is_file() {
        return Ok(path());
    }
    let fetched = named.fetch(hub, &|found| found == file);
    match (path().is_file(), fetched) {
        (true, _) => Ok(path()),
        (false, fetched) => {
            let reason = fetched.err();
            let reason = reason.unwrap_or_else(|| "the Hub has no such file".to_owned());
            Err(named.missing(hub, file, reason))
        }
    }
}

/// The files of a dataset that these patterns mean, by path, fetched where they are missing; all of text where there is no pattern.
pub(crate) fn files(
    name: &str,
    component: &str,
    globs: &[String],
) -> Result<Vec<PathBuf>, DataError> {
    files_in(&Hub::of_user()?, name, component, globs)
}

/// The same of what is on this machine already; none where nothing is, or not all.
pub fn kept_files(name: &str) -> Result<Vec<PathBuf>, DataError> {
    let named = Named::new(name, RepoType::Dataset);
    let kept = found_in(&named.folder(&Hub::of_user()?), &wanted(name, &[])?)?;
    Ok(match kept.missing {
        None => kept.files,
        Some(_) => Vec::new(),
    })
}

fn wanted(component: &str, globs: &[String]) -> Result<GlobSet, DataError> {
    let all = TEXT
        .iter()
        .flat_map(|glob| PACKED.map(|packed| format!("{glob}{packed}")));
    match globs {
        [] => set(component, &all.collect::<Vec<_>>()),
        globs => set(component, globs),
    }
}

fn files_in(
    hub: &Hub,
    name: &str,
    component: &str,
    globs: &[String],
) -> Result<Vec<PathBuf>, DataError> {
    let named = Named::new(name, RepoType::Dataset);
    let wanted = wanted(component, globs)?;
    let kept = found_in(&named.folder(hub), &wanted)?;
    if kept.is_listed && kept.missing.is_none() && !kept.files.is_empty() {
        return Ok(kept.files);
    }
    let fetched = named.fetch(hub, &|path| is_visible(path) && wanted.is_match(path));
    let found = found_in(&named.folder(hub), &wanted)?;
    let reason = match (&found.missing, fetched) {
        // Another tool's folder is taken as it is where the Hub cannot be asked.
        (None, _) if !found.files.is_empty() => return Ok(found.files),
        (_, Err(reason)) => reason,
        (_, Ok(())) => "the Hub has no such file".to_owned(),
    };
    let first = globs.first().map_or("*.jsonl", String::as_str);
    let file = found.missing.as_deref().unwrap_or(first);
    Err(named.missing(hub, file, reason))
}

/// What of a dataset is on this machine.
#[derive(Debug, Default)]
struct Kept {
    /// Its wanted files, by path.
    files: Vec<PathBuf>,
    /// The first of these that is still to come.
    missing: Option<String>,
    /// Whether it is known what the Hub has of it.
    is_listed: bool,
}

/// Every file that the Hub has of a commit, with its size; none where another tool made the folder.
fn listing(folder: &Path) -> Option<Vec<(String, Option<u64>)>> {
    let text = std::fs::read_to_string(folder.join(LISTING)).ok()?;
    serde_json::from_str(&text).ok()
}

/// Files and folders that begin with a point belong to tools.
fn is_visible(path: &str) -> bool {
    path.split('/').all(|part| !part.starts_with('.'))
}

/// The files below a folder that are wanted.
fn found_in(folder: &Path, wanted: &GlobSet) -> Result<Kept, DataError> {
    if !folder.is_dir() {
        return Ok(Kept::default());
    }
    let Some(listed) = listing(folder) else {
        let files = walked(folder, wanted)?;
        return Ok(Kept {
            files,
            ..Kept::default()
        });
    };
    let mut kept = Kept {
        is_listed: true,
        ..Kept::default()
    };
    let listed = listed.into_iter();
    for (name, size) in listed.filter(|(name, _)| is_visible(name) && wanted.is_match(name)) {
        let path = folder.join(&name);
        let found = path.metadata().map(|found| found.len());
        if found.is_ok_and(|found| size.is_none_or(|size| size == found)) {
            kept.files.push(path);
        } else {
            kept.missing.get_or_insert(name);
        }
    }
    kept.files.sort();
    Ok(kept)
}

/// The same of a folder of which nobody knows what belongs into it.
fn walked(folder: &Path, wanted: &GlobSet) -> Result<Vec<PathBuf>, DataError> {
    let mut found = Vec::new();
    let visible = |entry: &DirEntry| {
        entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b".")
    };
    // The cache holds links to where the bytes are.
    let walk = WalkDir::new(folder).follow_links(true);
    for entry in walk.into_iter().filter_entry(visible) {
        let entry = entry.map_err(std::io::Error::from).at("list", folder)?;
        let inside = entry.path().strip_prefix(folder).unwrap_or(entry.path());
        if entry.file_type().is_file() && wanted.is_match(inside) {
            found.push(entry.into_path());
        }
    }
    found.sort();
    Ok(found)
}

/// A path below the folder of a dataset, as people know it.
pub(crate) fn inside(path: &Path) -> String {
    let text = path.to_string_lossy();
    let behind = text
        .split_once("/snapshots/")
        .and_then(|(_, rest)| rest.split_once('/'));
    behind.map_or_else(|| text.clone().into_owned(), |(_, file)| file.to_owned())
}

#[cfg(test)]
mod tests;
