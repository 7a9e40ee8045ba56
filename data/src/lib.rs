//! From text to the exact sample, without libtorch: what `pleach data` works with and the worker reads.
//!
//! In come sources and token files; out comes sample `i` of a run. [`tokens`] reads and writes `.bin` with `.idx` as Megatron
//! and GPT-NeoX do, [`prepare`] makes a run's token files from its source, and [`order`] says which tokens a sample consists of.

mod error;
pub mod order;
pub mod prepare;
pub mod tokens;

pub use error::DataError;
