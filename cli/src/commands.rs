//! The commands: one file each, from arguments to an exit code.

pub mod calibrate;
pub mod check;
pub mod completions;
pub mod data;
pub mod diff;
pub mod doctor;
pub mod explain;
pub mod export;
pub mod fit;
pub mod fmt;
pub mod generate;
pub mod hash;
pub mod import;
pub mod lock;
pub mod plan;
pub mod profile;
pub mod resume;
pub mod run;
pub mod runs;
pub mod schema;
pub mod show;
pub mod sweep;
