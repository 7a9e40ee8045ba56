//! Models in the form of Hugging Face's `transformers`: a folder of JSON and safetensors, never pickle.
//!
//! A plan's model is read off its instructions ([`decoder`]); the first [`family`] that has all of it gives `config.json` and says of which rows of
//! our parameters each of its tensors consists ([`tensors`]). [`write`] follows these rows outwards.

pub mod decoder;
pub mod family;
mod read;
pub mod tensors;
mod tokenizer;
mod write;

use std::path::PathBuf;

pub use decoder::Decoder;
pub use family::Family;
pub use read::{CONFIG, INDEX, ImportError, WHOLE, Weights, config, content, files};
pub use write::{Writer, export};

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
    /// No family has all of the model.
    #[error("no model of transformers is this one: {what}")]
    Inexpressible {
        /// What stands in the way, with its figures.
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

#[cfg(test)]
mod tests;
