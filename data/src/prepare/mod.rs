//! The text a model is trained on: prepared once per lock file, kept in the user's cache, checked whenever it is opened.
//!
//! In come the source and the mix of a plan; out comes a [`Prepared`] folder: one token file for each component, with
//! counts and fingerprints in `data.json`. The folder's name is a hash of the lock file, the patterns and the rules of
//! preparation, so a second checkout finds it without Cargo and without a network; files of one's own are in `local`. It is written beside its place under
//! a file lock and renamed last; whoever is killed in between leaves nothing that is ever read.

mod cargo;
mod corpus;
mod local;
pub(crate) mod mix;
mod prepared;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use pleach_plan::DataPlan;
use pleach_storage::files::{At, remove_folder, sync_folder, sync_parent};
use pleach_storage::lockfile::Content;

pub use prepared::{Prepared, PreparedComponent};

use crate::DataError;
use crate::tokenize::Progress;
use mix::Mix;

/// Counts the changes of what is taken from a corpus and how; another number makes another folder.
const RULES: u64 = 1;
/// The source that this version reads.
const CARGO_DEPENDENCIES: &str = "cargo:dependencies";

/// Where prepared data is kept: `pleach/data` in the user's cache folder.
///
/// # Errors
/// The user has none.
pub fn default_cache() -> Result<PathBuf, DataError> {
    dirs::cache_dir()
        .map(|cache| cache.join("pleach").join("data"))
        .ok_or(DataError::NoCache)
}

/// What stands behind a source now, without preparing it; none for a source that this version cannot look into.
///
/// # Errors
/// No lock file for `cargo:dependencies`, or one that does not parse.
pub fn content(source: &str, from: &Path) -> Result<Option<Content>, DataError> {
    match source {
        CARGO_DEPENDENCIES => cargo::content(from).map(Some),
        local if local.starts_with(local::PREFIX) => local::content(local, from).map(Some),
        hub if hub.starts_with(crate::hub::PREFIX) => local::content_of_hub(hub),
        _ => Ok(None),
    }
}

/// Prepares the data of a plan, or finds it prepared. `from` is the spec's folder (its workspace's lock file counts),
/// `cache` is [`default_cache`] but for tests.
///
/// # Errors
/// An unknown source or tokenizer, no lock file, Cargo's own troubles, a component without files, or the system's.
pub fn build(data: &DataPlan, from: &Path, cache: &Path) -> Result<Prepared, DataError> {
    build_telling(data, from, cache, &mut |_, _| {})
}

/// The same; `tell` hears which component is tokenized, and how far it is.
///
/// # Errors
/// As [`build`].
pub fn build_telling(
    data: &DataPlan,
    from: &Path,
    cache: &Path,
    tell: &mut dyn FnMut(&str, &Progress),
) -> Result<Prepared, DataError> {
    if local::is_local(data) {
        return local::build(data, from, cache, tell);
    }
    let mut sources = data
        .mix
        .iter()
        .map(|component| local::source(data, component));
    if sources.any(|source| source != CARGO_DEPENDENCIES) {
        return Err(DataError::Source {
            source_name: data.source.clone(),
        });
    }
    if data.tokenizer != "bytes" {
        return Err(DataError::Tokenizer {
            tokenizer: data.tokenizer.clone(),
        });
    }
    let mix = Mix::new(&data.mix)?;
    let (lock, content) = cargo::find_lock(from)?;
    let key = key(&content, data, &mix);
    once(cache, &key, |folder| {
        let packages = cargo::packages(&lock)?;
        prepare(folder, data, &mix, &packages)
            .inspect_err(|_| drop(remove_folder(&folder.with_extension("partial"))))
    })
}

/// The data of a plan where it is prepared already: found without reading it whole, and without fetching anything. None where it is not, or where only a
/// preparation could tell.
pub fn kept(data: &DataPlan, from: &Path, cache: &Path) -> Option<Prepared> {
    let key = if local::is_local(data) {
        local::known_key(data, from)?
    } else {
        let (_, content) = cargo::find_lock(from).ok()?;
        key(&content, data, &Mix::new(&data.mix).ok()?)
    };
    Prepared::open(&cache.join(key)).ok()
}

/// The folder of a key, made by one process while others that want it wait.
fn once(
    cache: &Path,
    key: &str,
    make: impl FnOnce(&Path) -> Result<(), DataError>,
) -> Result<Prepared, DataError> {
    let folder = cache.join(key);
    if let Ok(prepared) = whole(&folder) {
        return Ok(prepared);
    }
    fs::create_dir_all(cache).at("create", cache)?;
    let guard_path = cache.join(format!("{key}.lock"));
    let guard = File::create(&guard_path).at("create", &guard_path)?;
    guard.lock().at("lock", &guard_path)?;
    // Somebody else may have made it while this process waited.
    if let Ok(prepared) = whole(&folder) {
        return Ok(prepared);
    }
    make(&folder)?;
    whole(&folder)
}

/// A prepared folder that has every byte it should have; a damaged one is prepared again.
fn whole(folder: &Path) -> Result<Prepared, DataError> {
    let prepared = Prepared::open(folder)?;
    prepared.verify()?;
    Ok(prepared)
}

/// Writes the folder aside and gives it its name when it is whole; what was there was not whole and goes.
fn prepare(
    folder: &Path,
    data: &DataPlan,
    mix: &Mix,
    packages: &[cargo::Package],
) -> Result<(), DataError> {
    let partial = folder.with_extension("partial");
    remove_folder(&partial)?;
    fs::create_dir_all(&partial).at("create", &partial)?;
    let components = corpus::write(&partial, packages, &data.mix, mix)?;
    prepared::write(&partial, &data.source, components)?;
    sync_folder(&partial)?;
    remove_folder(folder)?;
    fs::rename(&partial, folder).at("rename", &partial)?;
    sync_parent(folder)?;
    Ok(())
}

/// The identity of what will be prepared.
fn key(lock: &str, data: &DataPlan, mix: &Mix) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    part(&RULES.to_le_bytes());
    part(data.source.as_bytes());
    part(lock.as_bytes());
    for (component, globs) in data.mix.iter().zip(&mix.globs) {
        part(component.name.as_bytes());
        part(&(globs.len() as u64).to_le_bytes());
        globs.iter().for_each(|glob| part(glob.as_bytes()));
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

#[cfg(test)]
mod tests;
