//! The experiment language: text comes in through a loader the caller gives, a typed [`experiment::Experiment`] or all problems go out.
//!
//! Nothing here touches the file system, the clock, the environment or threads; `clippy.toml` of this crate forbids it.

pub mod evaluate;
pub mod experiment;
mod names;
pub mod origin;
pub mod problem;
pub mod quantity;
pub mod syntax;
pub mod wish;
