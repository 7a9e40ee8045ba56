//! What the end-to-end suites share: the real binaries, workspaces of their own, and honest skipping.
//!
//! In comes a machine as it is; out come paths of freshly built binaries or, where libtorch or Python cannot be had, one line
//! `skipped: reason` that `cargo xtask test` counts. Nothing here computes what a test then checks.

pub mod have;
pub mod job;
pub mod source;
