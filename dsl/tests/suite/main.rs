//! The language's tests, one binary: literate suites, examples, rendered problems, identities, and whatever else may be typed.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "tests read files and clocks, and stop at the first surprise"
)]

mod common;
mod editor;
mod examples;
mod format;
mod generated;
mod helps;
mod hostile;
mod identity;
mod phases;
mod render;
mod resolved;
mod robust;
mod shapes;
mod spec;
mod sweeps;
