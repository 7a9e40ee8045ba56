//! Checkpoints: safetensors files and a manifest with a hash for each, readable by any placement.
//!
//! What comes in and out: every rank calls [`write_shard`] with what [`saved`] says, and when all have, one calls [`commit`]; to
//! resume, [`newest`] finds the last good checkpoint and [`Checkpoint::fill`] gives each tensor that [`needed`] names. No
//! format here can carry code.
//!
//! ```text
//! checkpoints/step-000040/manifest.json
//!                         rank-0.safetensors
//!                         rank-1.safetensors
//! ```

mod error;
mod find;
mod layout;
mod manifest;
mod open;
mod read;
mod write;

pub use error::CheckpointError;
pub use find::{Found, folder_name, keep, list, newest};
pub use layout::{Needed, Saved, layouts, needed, saved};
pub use manifest::{BucketEntry, BucketLayout, FileRecord, Kind, Manifest, StoredTensor};
pub use read::Checkpoint;
pub(crate) use read::gather;
pub use write::{commit, write_shard};

#[cfg(test)]
mod tests;
