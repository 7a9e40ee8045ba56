//! The lock of a run's folder: two launches never work in it at once.
//!
//! In comes the folder; out comes a value that holds the lock until it is dropped or its process ends, however it ends:
//! the lock belongs to the open file, so nothing stale is ever left behind.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::RunError;
use crate::files::At;

/// A held lock.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunLock {
    pub(super) fn take(folder: &Path) -> Result<RunLock, RunError> {
        let path = folder.join("run.lock");
        let mut options = OpenOptions::new();
        options.create(true).read(true).write(true).truncate(false);
        let mut file = options.open(&path).at("open", &path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let known = file.read_to_string(&mut holder).is_ok() && !holder.trim().is_empty();
                let holder = if known {
                    holder.trim().to_owned()
                } else {
                    "unknown".to_owned()
                };
                return Err(RunError::Locked {
                    path: folder.to_path_buf(),
                    holder,
                });
            }
            Err(TryLockError::Error(error)) => return Err(error).at("lock", &path)?,
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .at("write", &path)?;
        Ok(RunLock { _file: file })
    }
}
