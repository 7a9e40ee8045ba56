//! Faults as data: where in a plan something is wrong, what it is, and the arithmetic behind it.

use std::fmt;

use crate::check::signature::Misfit;
use crate::{Axis, BodyKind, Dtype, Mark, TransferKind, Wire};

/// The most faults that one check lists: the first ones explain the rest.
pub const LIMIT: usize = 64;

/// One thing that is wrong with a plan.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{place}{what}")]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// What, with the figures that disagree.
    #[source]
    pub what: What,
}

/// Where in a plan; the parts that are known, outermost first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The pipeline stage.
    pub stage: Option<u32>,
    /// Index of the slot in the stage's role.
    pub slot: Option<usize>,
    /// The layer.
    pub layer: Option<u32>,
    /// The micro-batch.
    pub micro_batch: Option<u32>,
    /// Name of the body.
    pub body: Option<String>,
    /// Index of the instruction in the body, with its operation's name.
    pub instruction: Option<(usize, &'static str)>,
    /// Name of the tensor, parameter or bucket.
    pub name: Option<String>,
}

impl Place {
    /// A place known by a name only.
    pub fn named(name: &str) -> Self {
        Place {
            name: Some(name.to_owned()),
            ..Place::default()
        }
    }

    /// A place in a body.
    pub fn body(name: &str) -> Self {
        Place {
            body: Some(name.to_owned()),
            ..Place::default()
        }
    }

    /// A slot of a stage.
    pub fn slot(stage: u32, slot: usize) -> Self {
        Place {
            stage: Some(stage),
            slot: Some(slot),
            ..Place::default()
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.stage.map(|stage| format!("stage {stage}")));
        parts.extend(self.slot.map(|slot| format!("slot {slot}")));
        parts.extend(self.layer.map(|layer| format!("layer {layer}")));
        parts.extend(self.micro_batch.map(|index| format!("micro-batch {index}")));
        parts.extend(self.body.as_ref().map(|name| format!("body {name}")));
        parts.extend(
            self.instruction
                .map(|(index, op)| format!("instruction {index} ({op})")),
        );
        parts.extend(self.name.clone());
        match parts.is_empty() {
            true => Ok(()),
            false => write!(out, "{}: ", parts.join(", ")),
        }
    }
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum What {
    /// Another version of the format.
    #[error("the plan has schema {found}, this program reads {known}")]
    Schema {
        /// The plan's version.
        found: u32,
        /// The version that is understood.
        known: u32,
    },
    /// A number outside what makes sense.
    #[error("{field} is {value}, but {law}")]
    Number {
        /// Which number.
        field: &'static str,
        /// Its value.
        value: String,
        /// What it should obey.
        law: &'static str,
    },
    /// The mesh has more ranks than any program of this format may have.
    #[error("the mesh dp {dp} × cp {cp} × pp {pp} × tp {tp} has more than {limit} ranks")]
    Ranks {
        /// Replicas.
        dp: u32,
        /// Context-parallel ranks.
        cp: u32,
        /// Stages.
        pp: u32,
        /// Tensor-parallel ranks.
        tp: u32,
        /// The most ranks allowed.
        limit: u64,
    },
    /// An entry of a table does not carry its index.
    #[error("{table} entry {index} calls itself {id}")]
    Index {
        /// Which table.
        table: &'static str,
        /// Its index.
        index: usize,
        /// The id it claims.
        id: u32,
    },
    /// A reference out of range.
    #[error("there is no {table} {id}: the plan has {count}")]
    Unknown {
        /// Which table.
        table: &'static str,
        /// The id that was named.
        id: u64,
        /// Entries of the table.
        count: usize,
    },
    /// Two entries share a name.
    #[error("two {table} entries are called `{name}`")]
    SameName {
        /// Which table.
        table: &'static str,
        /// The name.
        name: String,
    },
    /// A group's axes are not a sorted set.
    #[error("its axes {axes:?} are not sorted or not distinct")]
    Axes {
        /// The axes as listed.
        axes: Vec<Axis>,
    },
    /// The number of roles differs from the number of stages.
    #[error("{roles} roles for {pp} pipeline stages")]
    Roles {
        /// Roles in the plan.
        roles: usize,
        /// Stages of the mesh.
        pp: u32,
    },
    /// A chunk's layers do not follow those of the chunk before it in the model.
    #[error("it holds layers {first}..={last}, but the next layer to place is {next}")]
    Layers {
        /// The chunk's first layer.
        first: u32,
        /// The chunk's last layer.
        last: u32,
        /// One after the last layer before it.
        next: u64,
    },
    /// Stages that do not have equally many chunks.
    #[error("it has {chunks} chunks, stage 0 has {expected}")]
    Chunks {
        /// Its chunks.
        chunks: usize,
        /// Those of stage 0.
        expected: usize,
    },
    /// More of something than any program of this format may have.
    #[error("{count} {things}, more than the {limit} that a program may have")]
    TooMany {
        /// How many.
        count: u64,
        /// Of what.
        things: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The batch does not come out.
    #[error(
        "a global batch of {global} is not micro-batch {micro} × {steps} micro-steps × dp {dp} = {product}"
    )]
    Batch {
        /// Sequences of a step.
        global: u64,
        /// Sequences of a micro-batch.
        micro: u64,
        /// Micro-batches of a step.
        steps: u32,
        /// Replicas.
        dp: u32,
        /// Their product.
        product: u128,
    },
    /// Samples cannot be summed in the lanes that are asked for.
    #[error("{why}")]
    Lanes {
        /// Why not.
        why: String,
    },
    /// A tensor's bytes cannot be counted.
    #[error("{dims:?} elements of {dtype:?} are more than 2^60 bytes")]
    Size {
        /// The dimensions.
        dims: Vec<u64>,
        /// The element type.
        dtype: Dtype,
    },
    /// A view that does not fit its base.
    #[error("{0}")]
    View(ViewFault),
    /// A parameter or bucket that contradicts itself.
    #[error("{left_name} is {left}, but {right_name} is {right}")]
    Differ {
        /// What the first figure is.
        left_name: &'static str,
        /// The first figure.
        left: String,
        /// What the second figure is.
        right_name: &'static str,
        /// The second figure.
        right: String,
    },
    /// Operands that do not fit the operation.
    #[error("{0}")]
    Operands(#[from] Misfit),
    /// A local tensor is read before it has a value.
    #[error("it reads `{tensor}`, which has no value here")]
    Undefined {
        /// The tensor.
        tensor: String,
    },
    /// A tensor gets a second value.
    #[error("`{tensor}` gets a value, but it already has one")]
    Redefined {
        /// The tensor.
        tensor: String,
    },
    /// A local tensor's storage is ended or passed on, but it is not live.
    #[error("it {does} `{tensor}`, which is not live here")]
    NotLive {
        /// Frees, saves, …
        does: &'static str,
        /// The tensor.
        tensor: String,
    },
    /// A static tensor stands where only local ones may.
    #[error("it {does} `{tensor}`, which is not a local tensor")]
    NotLocal {
        /// Makes, frees, saves, …
        does: &'static str,
        /// The tensor.
        tensor: String,
    },
    /// A local tensor outlives its body.
    #[error("`{tensor}` is neither freed nor saved nor put on a wire")]
    Leak {
        /// The tensor.
        tensor: String,
    },
    /// A static tensor that the stage does not hold.
    #[error("it uses `{tensor}`, which this stage does not hold")]
    Foreign {
        /// The tensor.
        tensor: String,
    },
    /// A layered tensor used outside a layer.
    #[error("it uses `{tensor}`, of which there is one for each layer, outside any layer")]
    NoLayer {
        /// The tensor.
        tensor: String,
    },
    /// A call whose layers do not suit its body or its stage.
    #[error(
        "it calls block `{block}` for layers {layers:?} in chunk {chunk}, on a stage whose chunks hold layers {held:?}"
    )]
    CallLayers {
        /// The block.
        block: String,
        /// The layers of the call.
        layers: Option<[u32; 2]>,
        /// The chunk of the call.
        chunk: u32,
        /// The layers of the stage, by chunk.
        held: Vec<[u32; 2]>,
    },
    /// A frame is written while it holds something.
    #[error("the frame of block `{block}` already holds what `{writer}` saved")]
    FrameFull {
        /// The block.
        block: String,
        /// Who wrote it.
        writer: String,
    },
    /// A frame is taken that nobody wrote.
    #[error("it takes {takes} tensors out of the frame of block `{block}`, which is empty")]
    FrameEmpty {
        /// The block.
        block: String,
        /// How many tensors it wants.
        takes: usize,
    },
    /// A frame's content differs from what is taken.
    #[error("`{writer}` saved {saved:?} in the frame of block `{block}`, but {taken:?} are taken")]
    FrameContent {
        /// The block.
        block: String,
        /// Who wrote it.
        writer: String,
        /// Names that were saved but are not taken.
        saved: Vec<String>,
        /// Names that are taken but were not saved.
        taken: Vec<String>,
    },
    /// A frame is left at the end of the step.
    #[error("the frame of block `{block}` that `{writer}` wrote is never taken")]
    FrameLeft {
        /// The block.
        block: String,
        /// Who wrote it.
        writer: String,
    },
    /// A wire is filled while it holds a value.
    #[error("the wire {wire:?} of micro-batch {micro_batch} already holds a value")]
    WireFull {
        /// The wire.
        wire: Wire,
        /// The micro-batch.
        micro_batch: u32,
    },
    /// A wire is read that holds nothing.
    #[error("the wire {wire:?} of micro-batch {micro_batch} holds nothing")]
    WireEmpty {
        /// The wire.
        wire: Wire,
        /// The micro-batch.
        micro_batch: u32,
    },
    /// A wire's value has another shape or type than its reader expects.
    #[error("the wire {wire:?} holds {held}, but {wanted} is expected")]
    WireShape {
        /// The wire.
        wire: Wire,
        /// Shape and type of its value.
        held: String,
        /// Shape and type that are expected.
        wanted: String,
    },
    /// A wire holds a value at the end of the step.
    #[error("the wire {wire:?} of micro-batch {micro_batch} is filled but never read")]
    WireLeft {
        /// The wire.
        wire: Wire,
        /// The micro-batch.
        micro_batch: u32,
    },
    /// A token is used for two transfers.
    #[error("token {token} stands for two transfers")]
    TokenTwice {
        /// The token.
        token: u32,
    },
    /// A wait for a transfer that is not under way.
    #[error("it waits for token {token}, which no transfer under way has")]
    TokenUnknown {
        /// The token.
        token: u32,
    },
    /// A transfer that is begun but not waited for.
    #[error("the transfer with token {token} is begun but never waited for")]
    TokenLeft {
        /// The token.
        token: u32,
    },
    /// A transfer to oneself or to a stage that is not there.
    #[error("a transfer with stage {peer} of {pp}")]
    Peer {
        /// The stage that is named.
        peer: u32,
        /// Stages.
        pp: u32,
    },
    /// A mark is missing, doubled or out of order.
    #[error("the marks are {found:?}; they must be StepBegin first, then Optimizer, StepEnd last")]
    Marks {
        /// The marks in order.
        found: Vec<Mark>,
    },
    /// A body on the wrong side of the optimizer mark.
    #[error("a {kind:?} body runs {side} the optimizer mark")]
    Phase {
        /// The body's kind.
        kind: BodyKind,
        /// `before` or `after`.
        side: &'static str,
    },
    /// The n-th send on a channel is not what the n-th receive expects.
    #[error(
        "stage {from} sends {sent} as transfer {index} to stage {to}, which expects {expected}"
    )]
    Transfer {
        /// The sending stage.
        from: u32,
        /// The receiving stage.
        to: u32,
        /// Which transfer between the two, in this direction.
        index: usize,
        /// What is sent.
        sent: String,
        /// What is expected.
        expected: String,
    },
    /// A transfer without its counterpart.
    #[error("this {kind:?} of {what} has no counterpart on stage {peer}")]
    Unpaired {
        /// Send or receive.
        kind: TransferKind,
        /// Wire and micro-batch.
        what: String,
        /// The other stage.
        peer: u32,
    },
    /// Two stages meet in one group with different collectives.
    #[error("in group `{group}` stage {first} is at {left}, stage {second} at {right}")]
    Collective {
        /// The group.
        group: String,
        /// A stage.
        first: u32,
        /// What it does.
        left: String,
        /// Another stage.
        second: u32,
        /// What that does.
        right: String,
    },
    /// Nobody can go on.
    #[error("the step cannot end: {}", .stages.join("; "))]
    Deadlock {
        /// Where each unfinished stage stands and what it waits for.
        stages: Vec<String>,
    },
}

/// How a view contradicts its base.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ViewFault {
    /// The base is a view or not one-dimensional.
    #[error("its base `{base}` is itself a view or not one-dimensional")]
    Base {
        /// The base.
        base: String,
    },
    /// Another lifetime or type than the base's, or a local view.
    #[error("it and its base `{base}` must be static, with one lifetime and one type")]
    Kind {
        /// The base.
        base: String,
    },
    /// It reaches beyond its base.
    #[error("elements {offset}..{end} of `{base}`, which has {length}")]
    Bounds {
        /// First element.
        offset: u64,
        /// One after the last element.
        end: u128,
        /// The base.
        base: String,
        /// Elements of the base.
        length: u64,
    },
    /// Two views of parameters share elements.
    #[error("it begins at element {offset} of `{base}`, where `{other}` reaches up to {end}")]
    Overlap {
        /// The base.
        base: String,
        /// The view before.
        other: String,
        /// One after the last element of the view before.
        end: u64,
        /// First element of this view.
        offset: u64,
    },
}

/// Collects faults up to the limit.
#[derive(Debug, Default)]
pub struct Faults {
    kept: Vec<Fault>,
    found: usize,
}

impl Faults {
    /// Notes one fault.
    pub fn push(&mut self, place: Place, what: What) {
        self.found += 1;
        if self.kept.len() < LIMIT {
            self.kept.push(Fault { place, what });
        }
    }

    /// Whether nothing was found so far.
    pub fn is_empty(&self) -> bool {
        self.found == 0
    }

    /// How many were found so far, kept or not.
    pub fn count(&self) -> usize {
        self.found
    }

    /// The verdict.
    ///
    /// # Errors
    /// The faults, if there are any.
    pub fn verdict(self) -> Result<(), Vec<Fault>> {
        if self.found == 0 {
            Ok(())
        } else {
            Err(self.kept)
        }
    }
}
