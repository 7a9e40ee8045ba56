//! The trace format that simulator and executor share: Chrome's trace events, which Perfetto opens.
//!
//! A complete event stands for one instruction or transfer; its `args` carry `(slot, layer, instruction)`, the identity that lays a
//! prediction over a measurement. `pid` is the stage in a simulation and the rank in a run, `tid` the [`Stream`].

use serde::{Deserialize, Serialize};

/// A whole trace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// The events, in any order.
    #[serde(rename = "traceEvents")]
    pub events: Vec<Event>,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// What runs: the operation's name, `send hidden`, `receive gradient`; for metadata its kind.
    pub name: String,
    /// The body's name, `transfer`, or `metadata`.
    pub cat: String,
    /// `X` for a span, `M` for metadata.
    pub ph: String,
    /// Beginning, in microseconds since the step (or the run) began.
    pub ts: f64,
    /// Length in microseconds.
    #[serde(default)]
    pub dur: f64,
    /// Stage or rank.
    pub pid: u32,
    /// The stream: see [`Stream`].
    pub tid: u32,
    /// Identity or name.
    pub args: Arguments,
}

/// What an event says beside its times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arguments {
    /// Index of the slot in the role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<usize>,
    /// The layer, for bodies of the block `layer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<u32>,
    /// Index of the instruction in its body; none for transfers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instruction: Option<usize>,
    /// The micro-batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_batch: Option<u32>,
    /// The step, in traces of a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// The name that metadata gives to a process or stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The streams of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Instructions that compute.
    Compute = 0,
    /// Collectives.
    Collective = 1,
    /// Transfers between stages.
    Transfer = 2,
}

impl Event {
    /// A span of `duration` from `start`, both in microseconds.
    pub fn span(
        name: &str,
        category: &str,
        process: u32,
        stream: Stream,
        [start, duration]: [f64; 2],
        args: Arguments,
    ) -> Self {
        let (name, cat) = (name.to_owned(), category.to_owned());
        Event {
            name,
            cat,
            ph: "X".to_owned(),
            ts: start,
            dur: duration,
            pid: process,
            tid: stream as u32,
            args,
        }
    }

    /// Names a process and its streams.
    pub fn names(process: u32, title: &str) -> Vec<Self> {
        let metadata = |kind: &str, stream: u32, name: &str| Event {
            name: kind.to_owned(),
            cat: "metadata".to_owned(),
            ph: "M".to_owned(),
            ts: 0.0,
            dur: 0.0,
            pid: process,
            tid: stream,
            args: Arguments {
                name: Some(name.to_owned()),
                ..Arguments::default()
            },
        };
        let mut events = vec![metadata("process_name", 0, title)];
        for (stream, name) in ["compute", "collectives", "transfers"]
            .into_iter()
            .enumerate()
        {
            events.push(metadata("thread_name", stream as u32, name));
        }
        events
    }
}
