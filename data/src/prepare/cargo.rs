//! The corpus `cargo:dependencies`: the sources of the packages that a `Cargo.lock` pins.
//!
//! In comes a folder inside a Cargo workspace; out come the lock file and the packages with the folders of their sources.
//! Which packages count depends on the lock file alone: those that a build for one fixed platform may use, wherever this runs; workspace
//! members, path and git dependencies stay out, their sources being nobody else's.

use std::path::{Path, PathBuf};

use cargo_metadata::{Metadata, MetadataCommand};
use pleach_storage::files::At;
use pleach_storage::lockfile::Content;
use serde::Deserialize;

use crate::DataError;

/// The platform whose dependencies are the corpus, on every machine.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// A package and where its files are.
#[derive(Clone, Debug)]
pub(super) struct Package {
    /// The folder of its sources.
    pub root: PathBuf,
}

/// The lock file at or above `from`, with its content.
pub(super) fn find_lock(from: &Path) -> Result<(PathBuf, String), DataError> {
    let start = std::path::absolute(from).at("find", from)?;
    let lock = start
        .ancestors()
        .map(|folder| folder.join("Cargo.lock"))
        .find(|path| path.is_file());
    let lock = lock.ok_or(DataError::NoLock { from: start })?;
    let content = std::fs::read_to_string(&lock).at("read", &lock)?;
    Ok((lock, content))
}

/// The registry packages of the lock file by name and version, each with the checksum that Cargo keeps of it.
pub(super) fn content(from: &Path) -> Result<Content, DataError> {
    let (lock, text) = find_lock(from)?;
    let read: LockFile = toml::from_str(&text).map_err(|error| DataError::Cargo {
        manifest: lock,
        reason: error.to_string(),
    })?;
    let packages = read.package.into_iter().filter_map(|package| {
        let name = format!("{} {}", package.name, package.version);
        Some((name, package.checksum?))
    });
    Ok(Content::of_parts("packages", packages))
}

/// What is read of a `Cargo.lock`.
#[derive(Deserialize)]
struct LockFile {
    #[serde(default)]
    package: Vec<LockedPackage>,
}

#[derive(Deserialize)]
struct LockedPackage {
    name: String,
    version: String,
    checksum: Option<String>,
}

/// The registry packages of the lock file, by name and version; asks the network only where a source is not there yet.
pub(super) fn packages(lock: &Path) -> Result<Vec<Package>, DataError> {
    let manifest = lock.with_file_name("Cargo.toml");
    let metadata = list(&manifest, true)
        .or_else(|_| list(&manifest, false))
        .map_err(|error| DataError::Cargo {
            manifest: manifest.clone(),
            reason: error.to_string().trim().to_owned(),
        })?;
    let mut found: Vec<_> = metadata
        .packages
        .iter()
        .filter(|package| {
            package
                .source
                .as_ref()
                .is_some_and(|source| is_registry(&source.repr))
        })
        .collect();
    found.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    let root = |manifest: &Path| manifest.parent().unwrap_or(manifest).to_path_buf();
    Ok(found
        .iter()
        .map(|package| Package {
            root: root(package.manifest_path.as_std_path()),
        })
        .collect())
}

fn is_registry(source: &str) -> bool {
    source.starts_with("registry+") || source.starts_with("sparse+")
}

fn list(manifest: &Path, offline: bool) -> Result<Metadata, cargo_metadata::Error> {
    let mut options: Vec<String> = ["--locked", "--filter-platform", PLATFORM]
        .map(String::from)
        .into();
    if offline {
        options.push("--offline".into());
    }
    let mut command = MetadataCommand::new();
    command.manifest_path(manifest).other_options(options);
    if let Some(folder) = manifest.parent() {
        command.current_dir(folder);
    }
    command.exec()
}
