//! The binary as its users meet it: command line, specs, supervisor, runs. One binary for all, because linking takes longest.

mod answers;
mod command_line;
mod data;
mod format;
mod identities;
mod misfits;
mod pages;
mod plans;
mod running;
mod specs;
mod supervisor;
mod support;
mod sweeps;
mod workers;
