//! From text to the exact sample, without libtorch: what `pleach data` works with and the worker reads.
//!
//! In come sources and token files; out comes sample `i` of a run. [`text`] reads documents, [`tokenizer`] makes ids of them, [`tokenize`] puts both into
//! token files, which [`tokens`] reads and writes as Megatron and GPT-NeoX do; [`prepare`] has those of a run ready, and [`order`] says which tokens a
//! sample consists of. Names of the Hugging Face Hub are looked up in [`hub`].

mod error;
pub mod hub;
pub mod order;
pub mod prepare;
pub mod text;
pub mod tokenize;
pub mod tokenizer;
pub mod tokens;

pub use error::DataError;
