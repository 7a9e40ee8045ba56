//! Which checkpoints a run has: the newest good one, and which ones are kept.
//!
//! In comes the run's checkpoint folder; out comes the newest checkpoint in which every byte is right, together with
//! what is wrong with newer ones, so that nobody continues from an older one without being told.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pleach_plan::Saving;

use super::{Checkpoint, CheckpointError};
use crate::files::{At, FileError, remove_folder};

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// The newest good checkpoint.
    pub checkpoint: Option<Checkpoint>,
    /// What is wrong with newer ones, newest first.
    pub rejected: Vec<CheckpointError>,
}

/// The name of a step's folder.
pub fn folder_name(step: u64) -> String {
    format!("step-{step:06}")
}

/// All complete checkpoints, oldest first; whether they are good is not asked.
///
/// # Errors
/// The folder cannot be listed; one that is not there has no checkpoints.
pub fn list(checkpoints: &Path) -> Result<Vec<(u64, PathBuf)>, FileError> {
    let entries = match fs::read_dir(checkpoints) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.at("list", checkpoints)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.at("list", checkpoints)?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let step = name
            .strip_prefix("step-")
            .and_then(|step| step.parse().ok());
        if let Some(step) = step.filter(|&step| folder_name(step) == name) {
            found.push((step, path));
        }
    }
    found.sort();
    Ok(found)
}

/// The newest checkpoint in which every byte is right.
///
/// # Errors
/// The folder cannot be listed. Damaged checkpoints are no error here but part of the answer.
pub fn newest(checkpoints: &Path) -> Result<Found, FileError> {
    let mut rejected = Vec::new();
    for (_, folder) in list(checkpoints)?.into_iter().rev() {
        match Checkpoint::open(&folder) {
            Ok(checkpoint) => {
                return Ok(Found {
                    checkpoint: Some(checkpoint),
                    rejected,
                });
            }
            Err(error) => rejected.push(error),
        }
    }
    Ok(Found {
        checkpoint: None,
        rejected,
    })
}

/// Deletes all checkpoints but those that stay and the newest of the others (of these at least one), and what interrupted
/// writing has left of steps up to the newest.
///
/// # Errors
/// The system's.
pub fn keep(checkpoints: &Path, saving: &Saving) -> Result<(), FileError> {
    let complete = list(checkpoints)?;
    let passing = complete.iter().filter(|(step, _)| !saving.stays(*step));
    let surplus = passing.clone().count();
    let surplus = surplus.saturating_sub(saving.keep.max(1) as usize);
    for (_, folder) in passing.take(surplus) {
        remove_folder(folder)?;
    }
    for (step, folder) in &complete {
        remove_folder(&folder.with_file_name(format!("{}.partial", folder_name(*step))))?;
    }
    Ok(())
}
