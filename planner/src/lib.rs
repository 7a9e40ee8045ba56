//! Experiment in, plan out: the passes of the compiler, each from one value to the next.
//!
//! [`graph`] lowers the model, [`differentiate`] appends its backward, [`shard`] chooses layouts and inserts collectives,
//! [`program`] emits bodies, roles and slots; [`cost`], [`memory`] and [`simulate`] say what a plan takes, [`search`] chooses,
//! [`verify`] judges independently, [`report`] and [`trace`] show. No file, clock, environment or randomness is touched here.

pub mod cost;
pub mod differentiate;
pub mod engine;
pub mod graph;
pub mod hardware;
pub mod memory;
pub mod ops;
pub mod phases;
pub mod placement;
pub mod program;
pub mod rate;
pub mod report;
pub mod search;
pub mod shard;
pub mod simulate;
pub mod support;
pub mod trace;
pub mod verify;
