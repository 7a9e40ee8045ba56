//! What the checkout's own commands share with its end-to-end tests: where things lie, and how missing ones are had.
//!
//! In comes a machine with Rust, a C++ compiler and Python 3; out come a libtorch, a Python environment and finished child
//! processes. It builds in seconds and links nothing of pleach, so that it can run before anything else does.

pub mod accuracy;
pub mod bench;
pub mod demo;
pub mod generate;
pub mod gpu;
pub mod places;
pub mod process;
pub mod processes;
pub mod setup;
pub mod suite;
pub mod verify;
