//! Failure records: what a rank that cannot go on leaves for whoever asks why.
//!
//! In comes what a worker knows when it stops (instruction, peer, message); out comes `failures/rank-N.json`, which the
//! launcher reads once all ranks have ended. A rank that was killed leaves none; then its peers' records name it.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{RunError, RunFolder};
use crate::files::{At, replace};

/// Why and where a rank stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RankFailure {
    /// The rank that says so.
    pub rank: u32,
    /// Stable code: `pleach::worker::peer_lost`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// One sentence.
    pub message: String,
    /// The step in which it happened: steps done, counting this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// The instruction, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instruction: Option<String>,
    /// The rank on the other side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<u32>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl RunFolder {
    /// Leaves a rank's failure record.
    ///
    /// # Errors
    /// The system's.
    pub fn write_failure(&self, failure: &RankFailure) -> Result<(), RunError> {
        let folder = self.failures();
        fs::create_dir_all(&folder).at("create", &folder)?;
        let text = serde_json::to_string_pretty(failure).expect("a record is plain JSON");
        Ok(replace(
            &failure_path(&folder, failure.rank),
            text.as_bytes(),
        )?)
    }

    /// The failure records of these many ranks, by rank.
    ///
    /// # Errors
    /// A record that cannot be read.
    pub fn read_failures(&self, ranks: u32) -> Result<Vec<RankFailure>, RunError> {
        let mut failures = Vec::new();
        for rank in 0..ranks {
            let path = failure_path(&self.failures(), rank);
            let text = match fs::read(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                text => text.at("read", &path)?,
            };
            let failure =
                serde_json::from_slice(&text).map_err(|error| RunError::damaged(&path, error))?;
            failures.push(failure);
        }
        Ok(failures)
    }

    /// Forgets the failures of an earlier attempt.
    ///
    /// # Errors
    /// The system's.
    pub fn clear_failures(&self) -> Result<(), RunError> {
        let folder = self.failures();
        crate::files::remove_folder(&folder)?;
        fs::create_dir_all(&folder).at("create", &folder)?;
        Ok(())
    }
}

fn failure_path(folder: &Path, rank: u32) -> std::path::PathBuf {
    folder.join(format!("rank-{rank}.json"))
}
