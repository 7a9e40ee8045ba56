//! What the `pleach` program and its worker share of the outside world, without libtorch: files in, files out.
//!
//! Initial values ([`init`]), checkpoints ([`checkpoint`]), the folder of a run ([`run`]), models of Hugging Face
//! ([`hf`]) and what specs rest on ([`lockfile`]). Whatever is written is written aside and renamed ([`files`]), and whatever is
//! read is checked before it is believed.

pub mod checkpoint;
pub mod files;
pub mod hf;
pub mod init;
pub mod lockfile;
pub mod orthogonal;
pub mod region;
pub mod run;
pub(crate) mod tensor_file;
