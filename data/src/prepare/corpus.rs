//! From packages to token files: every matching text once, in one order that all machines share.
//!
//! In come the packages in order and the mix; out come one `.bin`/`.idx` pair for each component, in a folder. Files are taken by
//! package, then by path. Hidden files (what Cargo and Git leave behind) and links are passed over, files that are not
//! UTF-8 are skipped and counted, and so are texts that the component has already: the Apache licence comes with every second
//! package, and learning it by heart two hundred times is no use.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pleach_plan::Component;
use pleach_storage::files::{At, FileError};
use walkdir::{DirEntry, WalkDir};

use super::cargo::Package;
use super::mix::Mix;
use super::{Prepared, PreparedComponent};
use crate::DataError;
use crate::tokens::{Kind, TokenWriter};

/// Ends every document; NUL bytes inside of a text are left out and counted.
const SEPARATOR: u8 = 0;

/// A component while it grows.
struct Growing {
    name: String,
    writer: TokenWriter,
    seen: BTreeSet<[u8; 32]>,
    largest_id: u64,
    not_text: u64,
    repeated: u64,
    nul_bytes: u64,
}

/// Writes the token files of all components into `folder`.
pub(super) fn write(
    folder: &Path,
    packages: &[Package],
    components: &[Component],
    mix: &Mix,
) -> Result<Vec<PreparedComponent>, DataError> {
    let mut growing = components
        .iter()
        .enumerate()
        .map(|(number, component)| Growing::new(folder, number, component))
        .collect::<Result<Vec<_>, _>>()?;
    for package in packages {
        for (relative, path) in files(&package.root)? {
            if let Some(component) = mix.component(&relative) {
                growing[component].take(&path)?;
            }
        }
    }
    growing
        .into_iter()
        .zip(&mix.globs)
        .map(|(component, globs)| component.finish(globs))
        .collect()
}

/// All visible files below a folder, with their paths inside it, sorted by those.
fn files(root: &Path) -> Result<Vec<(String, PathBuf)>, FileError> {
    let visible = |entry: &DirEntry| {
        entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b".")
    };
    let mut found = Vec::new();
    for entry in WalkDir::new(root).into_iter().filter_entry(visible) {
        let entry = entry.map_err(std::io::Error::from).at("list", root)?;
        if !entry.file_type().is_file() {
            continue;
        }
        let relative = entry.path().strip_prefix(root).unwrap_or(entry.path());
        let parts: Option<Vec<&str>> = relative.iter().map(|part| part.to_str()).collect();
        if let Some(parts) = parts {
            found.push((parts.join("/"), entry.path().to_path_buf()));
        }
    }
    found.sort();
    Ok(found)
}

impl Growing {
    fn new(folder: &Path, number: usize, component: &Component) -> Result<Growing, DataError> {
        let path = folder.join(Prepared::file_name(number, &component.name));
        Ok(Growing {
            name: component.name.clone(),
            writer: TokenWriter::create(&path, Kind::U8)?,
            seen: BTreeSet::new(),
            largest_id: 0,
            not_text: 0,
            repeated: 0,
            nul_bytes: 0,
        })
    }

    fn take(&mut self, path: &Path) -> Result<(), DataError> {
        let bytes = fs::read(path).at("read", path)?;
        let Ok(text) = str::from_utf8(&bytes) else {
            self.not_text += 1;
            return Ok(());
        };
        if text.is_empty() {
            return Ok(());
        }
        if !self.seen.insert(*blake3::hash(&bytes).as_bytes()) {
            self.repeated += 1;
            return Ok(());
        }
        let mut tokens: Vec<u8> = text.bytes().filter(|&byte| byte != SEPARATOR).collect();
        self.nul_bytes += (text.len() - tokens.len()) as u64;
        tokens.push(SEPARATOR);
        let largest = tokens.iter().copied().max().map_or(0, u64::from);
        self.largest_id = self.largest_id.max(largest);
        self.writer.sequence(&tokens, path)
    }

    fn finish(self, globs: &[String]) -> Result<PreparedComponent, DataError> {
        let written = self.writer.finish(1)?;
        if written.place.sequences == 0 {
            return Err(DataError::Empty {
                component: self.name,
                globs: globs.join(" "),
            });
        }
        Ok(PreparedComponent {
            name: self.name,
            files: globs.to_vec(),
            documents: written.place.sequences,
            tokens: written.place.tokens,
            skipped_not_text: self.not_text,
            skipped_repeated: self.repeated,
            skipped_nul_bytes: self.nul_bytes,
            fingerprint: written.fingerprint,
            largest_id: self.largest_id,
            path: None,
        })
    }
}
