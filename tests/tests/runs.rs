//! Real training runs, end to end: the binaries as they are built, processes, files and signals of this machine.
//!
//! One binary for all of them, because they share long builds and take turns on the machine.

mod runs {
    pub mod bytes;
    pub mod compare;
    pub mod curriculum;
    pub mod export;
    mod faults;
    pub mod generate;
    pub mod half;
    pub mod hub;
    pub mod inputs;
    pub mod instructions;
    pub mod learning;
    pub mod matrix;
    pub mod placements;
    pub mod profile;
    pub mod reshard;
    pub mod resume;
    pub mod saving;
    pub mod small;
    pub mod splits;
    pub mod tables;
    pub mod torchrun;
    pub mod watching;
}
