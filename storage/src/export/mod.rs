//! Models for other programs: a checkpoint's logical parameters in the files and names that those expect.
//!
//! In comes a checked checkpoint with its plan; out comes a folder. [`hf`] writes what `transformers` loads.

pub mod hf;
mod tokenizer;

use std::path::PathBuf;

use crate::checkpoint::CheckpointError;
use crate::files::FileError;

/// Why a model could not be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The checkpoint cannot give a parameter.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The folder is there already.
    #[error("{} exists already; name another folder with `--out`, or move it away", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// Something of the model has no counterpart there.
    #[error("transformers' GPTNeoX cannot express this model: {what}")]
    Inexpressible {
        /// What, with its figures.
        what: String,
    },
    /// A parameter is not what the model's dimensions say.
    #[error("`{name}` has {found} values, {wanted} were expected from the shape {dims:?}")]
    Shape {
        /// The parameter.
        name: String,
        /// What it has.
        found: usize,
        /// What its shape says.
        wanted: u64,
        /// The shape.
        dims: Vec<u64>,
    },
}
