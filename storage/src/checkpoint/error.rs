//! What can be wrong with a checkpoint: each message names the file and says what was expected there.

use std::path::{Path, PathBuf};

use crate::files::FileError;

/// Why a checkpoint could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file that is not what the manifest says.
    #[error("{}: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was expected and what is there.
        problem: String,
    },
    /// A rank has not written its part.
    #[error(
        "the checkpoint of step {step} cannot be completed: {}: {problem}; every rank writes its part before one of \
         them completes it",
        path.display()
    )]
    Incomplete {
        /// The step.
        step: u64,
        /// The record that is missing or wrong.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A rank gave another number of bytes than its tensor has.
    #[error("`{tensor}` has {wanted} bytes, {found} were given for the checkpoint")]
    Content {
        /// The tensor's name in the file.
        tensor: String,
        /// What its length and type say.
        wanted: u64,
        /// What came.
        found: usize,
    },
    /// The checkpoint belongs to something else.
    #[error("{}: the {what} is {found}, this plan has {wanted}; {help}", path.display())]
    Other {
        /// The checkpoint.
        path: PathBuf,
        /// What differs.
        what: String,
        /// In the checkpoint.
        found: String,
        /// In the plan.
        wanted: String,
        /// What to do.
        help: &'static str,
    },
    /// A parameter that the checkpoint does not hold.
    #[error("{}: there is no parameter `{name}`", path.display())]
    NoParameter {
        /// The checkpoint.
        path: PathBuf,
        /// The name asked for.
        name: String,
    },
}

impl CheckpointError {
    /// A file that cannot be believed.
    pub(super) fn damaged(path: &Path, problem: impl std::fmt::Display) -> CheckpointError {
        CheckpointError::Damaged {
            path: path.to_path_buf(),
            problem: problem.to_string(),
        }
    }
}
