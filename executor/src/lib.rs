//! The worker: one process that runs one rank of a [`pleach_plan::Plan`] with libtorch.
//!
//! In come a plan, a rank and a run's folder; out come a trained model's checkpoints, metrics and, where asked for, a trace of
//! every instruction and the bytes at every boundary. Backward is part of the plan, so libtorch's autograd is never used.
//! [`train`] is the run, [`interpreter`] the step, [`ops`] the instruction, [`native`] what libtorch has and tch does not.

pub mod background;
pub mod calibrate;
pub mod collectives;
pub mod data;
pub mod deadlines;
pub mod device;
pub mod early;
pub mod environment;
pub mod error;
pub mod events;
pub mod finite;
pub mod flight;
pub mod forward;
pub mod generate;
pub mod held;
pub mod interpreter;
pub mod kernels;
pub mod killed;
pub mod ledger;
pub mod load;
pub mod measured;
pub mod native;
pub mod ops;
pub mod pace;
pub mod place;
pub mod process;
pub mod records;
pub mod rendezvous;
pub mod saving;
pub mod sequences;
pub mod spoilt;
pub mod statics;
pub mod trace;
pub mod train;
pub mod watchdog;
pub mod weights;
