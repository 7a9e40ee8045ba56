//! `pleach.lock`: what specs rest on, by content: imports, data, tokenizers, weights.
//!
//! In come names with what was found under them, out comes whether that is still what was locked. The file is TOML, sorted, one folder's specs share it, and people may
//! read its changes in version control. What holds many parts, as data of many shards, keeps a short hash of each, so that a difference can be counted.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::files::{self, At as _, FileError};

/// The file's name, beside the specs.
pub const NAME: &str = "pleach.lock";

/// The version of the format.
const VERSION: u32 = 1;

/// What stands at the top of the file.
const HEADER: &str = "# Written by `pleach lock`: what the specs of this folder rest on. `pleach check` holds the files against it.\n\n";

/// Digits of a part's hash that are kept.
const SHORT: usize = 16;

/// Everything that is locked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lockfile {
    version: u32,
    /// Imported files by path from the lockfile's folder; `presets/…` ships with the program.
    #[serde(default, rename = "import")]
    pub imports: BTreeMap<String, Content>,
    /// Data by its source, as the spec names it.
    #[serde(default)]
    pub data: BTreeMap<String, Content>,
    /// Tokenizers as the spec names them.
    #[serde(default, rename = "tokenizer")]
    pub tokenizers: BTreeMap<String, Content>,
    /// Weights that models begin with, as the spec names them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<String, Content>,
}

/// What stands behind a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// BLAKE3 of the whole, in hexadecimal.
    pub hash: String,
    /// What the parts are called: `packages`, `shards`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts_are: Option<String>,
    /// The beginning of each part's hash, by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, String>,
}

/// Why a lockfile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockfileError {
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// It does not parse, or is of another version.
    #[error("{NAME} cannot be read: {reason}")]
    Form {
        /// Where and why.
        reason: String,
    },
}

impl Lockfile {
    /// A lockfile with nothing in it.
    pub fn new() -> Self {
        Self {
            version: VERSION,
            ..Self::default()
        }
    }

    /// Reads the lockfile of a folder; none where there is none.
    ///
    /// # Errors
    /// The system's, or a file of another form.
    pub fn read(folder: &Path) -> Result<Option<Self>, LockfileError> {
        let path = folder.join(NAME);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.at("read", &path)?,
        };
        let form = |reason: String| LockfileError::Form { reason };
        let lock: Self = toml::from_str(&text).map_err(|error| form(error.to_string()))?;
        if lock.version != VERSION {
            let reason = format!(
                "it is of version {}, this program reads {VERSION}",
                lock.version
            );
            return Err(form(reason));
        }
        Ok(Some(lock))
    }

    /// Writes it into a folder, whole or not at all.
    ///
    /// # Errors
    /// The system's.
    pub fn write(&self, folder: &Path) -> Result<(), LockfileError> {
        let text = toml::to_string(self).map_err(|error| LockfileError::Form {
            reason: error.to_string(),
        })?;
        files::replace(&folder.join(NAME), format!("{HEADER}{text}").as_bytes())?;
        Ok(())
    }
}

impl Content {
    /// The content of one text.
    pub fn of_hash(hash: String) -> Self {
        Self {
            hash,
            ..Self::default()
        }
    }

    /// The content of many parts, each with a hash of its own; the whole is the hash of these.
    pub fn of_parts(are: &str, parts: impl IntoIterator<Item = (String, String)>) -> Self {
        let whole: BTreeMap<String, String> = parts.into_iter().collect();
        let mut hasher = blake3::Hasher::new();
        for (name, hash) in &whole {
            for text in [name, hash] {
                hasher.update(&(text.len() as u64).to_le_bytes());
                hasher.update(text.as_bytes());
            }
        }
        let short = |hash: String| hash.chars().take(SHORT).collect();
        Self {
            hash: hasher.finalize().to_hex().to_string(),
            parts_are: Some(are.to_owned()),
            parts: whole
                .into_iter()
                .map(|(name, hash)| (name, short(hash)))
                .collect(),
        }
    }

    /// How this differs from what was found, for a reader: `locked 41c0…, found 9ee2…; 3 of 30 shards differ`.
    pub fn difference(&self, found: &Self) -> String {
        let short = |content: &Self| content.hash.chars().take(4).collect::<String>();
        let mut text = format!("locked {}…, found {}…", short(self), short(found));
        if let (Some(are), false) = (&found.parts_are, self.parts.is_empty()) {
            let names = self.parts.keys().chain(found.parts.keys());
            let mut differ: Vec<&String> = names
                .filter(|name| self.parts.get(*name) != found.parts.get(*name))
                .collect();
            differ.sort();
            differ.dedup();
            let total = self.parts.len().max(found.parts.len());
            text.push_str(&format!("; {} of {total} {are} differ", differ.len()));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(count: usize, changed: usize) -> Content {
        let part = |index: usize| {
            let content = format!("{index} {}", index < changed);
            (
                format!("shard {index}"),
                blake3::hash(content.as_bytes()).to_string(),
            )
        };
        Content::of_parts("shards", (0..count).map(part))
    }

    #[test]
    fn a_difference_is_counted_in_parts() {
        let text = parts(30, 0).difference(&parts(30, 3));
        assert!(text.ends_with("; 3 of 30 shards differ"), "{text}");
        let text = parts(30, 0).difference(&parts(31, 0));
        assert!(text.ends_with("; 1 of 31 shards differ"), "{text}");
        let text = Content::of_hash("41c0aa".into()).difference(&Content::of_hash("9ee2bb".into()));
        assert_eq!(text, "locked 41c0…, found 9ee2…");
    }

    #[test]
    fn it_reads_what_it_wrote() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Lockfile::read(folder.path()).unwrap().is_none());
        let mut lock = Lockfile::new();
        lock.imports
            .insert("a/b.pleach".into(), Content::of_hash("ab".into()));
        lock.data.insert("cargo:dependencies".into(), parts(3, 1));
        lock.write(folder.path()).unwrap();
        assert_eq!(Lockfile::read(folder.path()).unwrap(), Some(lock));
    }

    #[test]
    fn another_form_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (text, part) in [
            ("version = 2\n", "version 2"),
            ("version = 1\n[dta]\n", "dta"),
            ("version", "expected"),
        ] {
            std::fs::write(folder.path().join(NAME), text).unwrap();
            let error = Lockfile::read(folder.path()).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
