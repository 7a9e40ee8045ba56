//! The contract between planner and executor: a [`Plan`] is the program that every rank will run, as plain data.
//!
//! In comes nothing but the plan itself; out come its canonical JSON and hash ([`json`]), its readable text ([`text`]),
//! its structural verdict ([`check`]), its walk instruction by instruction ([`walk`]), its bytes at every boundary
//! ([`ledger`]) and its meaning ([`reference`], all ranks in one process, in f64). No file, clock or environment is touched here.

pub mod attributes;
pub mod body;
pub mod check;
pub mod dropping;
pub mod early;
pub mod evaluation;
pub mod guard;
pub mod hardware;
pub mod json;
pub mod lanes;
pub mod ledger;
pub mod logging;
pub mod measured;
pub mod mesh;
pub mod op;
pub mod phases;
pub mod prediction;
pub mod program;
pub mod reference;
pub mod saving;
pub mod schedule;
pub mod tally;
pub mod tensor;
pub mod text;
pub mod trace;
pub mod walk;

pub use attributes::{
    Activation, Alibi, Charge, HeadNorm, Reduce, Route, RouterLoss, Scores, Split,
};
pub use body::{Body, BodyId, BodyKind, Instr, Port, Wire};
pub use evaluation::{Evaluation, HeldOut};
pub use guard::{Counts, Guard, Moving, NotFinite, Scaling, Standing};
pub use logging::{Figure, Logging};
pub use mesh::{Axis, Group, GroupId, Mesh, Part, Rank};
pub use op::Op;
pub use phases::Begins;
pub use prediction::{Prediction, RolePrediction, Useful};
pub use program::{
    Bucket, Call, Component, DataPlan, Hashes, Init, Mark, Ordering, Packing, Parameter, Plan,
    Reading, Recompute, Role, Slot, Training, Transfer, TransferKind, Weights,
};
pub use saving::Saving;
pub use schedule::Schedule;
pub use tensor::{Dtype, Layout, Layouts, Lives, Tensor, TensorId, View};
