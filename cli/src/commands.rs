//! The commands: one file each, from arguments to an exit code.

pub mod calibrate;
pub mod doctor;
