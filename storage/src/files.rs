//! Writing that survives a crash, and I/O errors that name their file.
//!
//! In come paths and bytes; out come files that are either the old ones or the whole new ones, never something between:
//! written aside, synced, renamed, and the folder synced too.

use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// An operation on a file or folder that the system refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct FileError {
    /// What was tried: `read`, `write`, `rename`, ….
    pub action: &'static str,
    /// On which file or folder.
    pub path: PathBuf,
    /// The system's answer.
    pub source: io::Error,
}

impl FileError {
    /// Whether there was no room for what was written.
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        matches!(
            self.source.kind(),
            StorageFull | QuotaExceeded | FileTooLarge
        )
    }

    /// Whether there is no such file.
    pub fn is_missing(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// Says what was tried on which file when the system refuses.
pub trait At<T> {
    /// Attaches action and path to an I/O error.
    fn at(self, action: &'static str, path: &Path) -> Result<T, FileError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, FileError> {
        self.map_err(|source| FileError {
            action,
            path: path.to_path_buf(),
            source,
        })
    }
}

/// Replaces `path` by a file with these bytes, durably and all at once.
///
/// # Errors
/// The system's, with the path; the old file is then still there.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let aside = aside(path);
    write_synced(&aside, bytes)
        .and_then(|()| fs::rename(&aside, path).at("rename", &aside))
        .inspect_err(|_| drop(fs::remove_file(&aside)))?;
    sync_parent(path)
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut file = File::create(path).at("create", path)?;
    file.write_all(bytes).at("write", path)?;
    file.sync_all().at("sync", path)
}

/// Makes the entries of a folder durable.
pub fn sync_folder(path: &Path) -> Result<(), FileError> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .at("sync", path)
}

/// Makes the entry that names `path` durable.
pub fn sync_parent(path: &Path) -> Result<(), FileError> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
        _ => sync_folder(Path::new(".")),
    }
}

/// Deletes a folder with all it holds; one that is not there is fine.
pub fn remove_folder(path: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at("delete", path),
        _ => Ok(()),
    }
}

/// Maps a whole file into memory for reading.
pub fn map(path: &Path) -> Result<memmap2::Mmap, FileError> {
    let file = File::open(path).at("open", path)?;
    // SAFETY: files that are mapped here are written aside and renamed, never changed in place; should somebody else cut one
    // short while it is read, the process ends with SIGBUS, which every user of a memory map has to accept.
    unsafe { memmap2::Mmap::map(&file) }.at("map", path)
}

/// A file that is read piece by piece. Unlike a map it takes no memory for what has been read, and one that somebody cuts
/// short meanwhile is an error, not the end of the process.
#[derive(Debug)]
pub struct Stored {
    path: PathBuf,
    file: File,
    /// Its size when it was opened.
    pub bytes: u64,
}

impl Stored {
    /// Opens it.
    pub fn open(path: &Path) -> Result<Stored, FileError> {
        let file = File::open(path).at("open", path)?;
        let bytes = file.metadata().at("read", path)?.len();
        Ok(Stored {
            path: path.to_path_buf(),
            file,
            bytes,
        })
    }

    /// The bytes from `start` on that fill `out`.
    pub fn read(&self, start: u64, out: &mut [u8]) -> Result<(), FileError> {
        self.file.read_exact_at(out, start).at("read", &self.path)
    }

    /// BLAKE3 of all of it.
    pub fn hash(&self) -> Result<blake3::Hash, FileError> {
        let (mut hasher, mut file) = (blake3::Hasher::new(), &self.file);
        file.rewind().at("read", &self.path)?;
        hasher.update_reader(file).at("read", &self.path)?;
        Ok(hasher.finalize())
    }
}

fn aside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.partial", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.json");
        replace(&path, b"old").unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_take_its_place_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.json");
        fs::create_dir(&path).unwrap();
        assert!(replace(&path, b"new").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_error_names_the_file() {
        let error = replace(Path::new("/no/such/folder/file"), b"")
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("cannot create /no/such/folder/file"),
            "{error}"
        );
    }
}
