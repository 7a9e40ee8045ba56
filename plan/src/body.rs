//! Bodies: straight-line code written once and called for many layers and micro-batches.
//!
//! A call binds the values of its wires to `ins`, takes the tensors in `takes` out of the frame of its (block or layer,
//! micro-batch), runs `code`, puts `saves` into that frame and its `outs` onto their wires. Whatever else it made has been freed
//! by an instruction's `frees`. A frame is written once and taken once; a wire holds one value for each micro-batch.

use serde::{Deserialize, Serialize};

use crate::{Op, TensorId};

/// Names a [`Body`] in a plan; also its index in [`crate::Plan::bodies`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BodyId(pub u32);

/// What a body does in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BodyKind {
    /// Prepares a step: zeroes accumulators. Layers in rising order.
    Begin,
    /// Forward of one micro-batch. Layers in rising order.
    Forward,
    /// Backward of one micro-batch (recomputing first, where the placement says so). Layers in falling order.
    Backward,
    /// Joins the gradients of a lane of samples with those of the lanes before it. Layers in rising order.
    Fold,
    /// Synchronises gradients of the step and measures them. Layers in rising order.
    Reduce,
    /// Updates parameters. Layers in rising order.
    Update,
}

/// A named connection between calls on one rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wire {
    /// The residual stream, from the embedding to the head.
    Hidden,
    /// Its gradient, from the head to the embedding.
    Gradient,
}

/// A wire's value under its name inside a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// The wire.
    pub wire: Wire,
    /// The body's name for its value.
    pub tensor: TensorId,
}

/// One instruction. Outputs are new names; updates are changed in place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instr {
    /// What to do.
    #[serde(flatten)]
    pub op: Op,
    /// Operands that are read.
    #[serde(default, rename = "in", skip_serializing_if = "Vec::is_empty")]
    pub ins: Vec<TensorId>,
    /// Operands that are read and written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub updates: Vec<TensorId>,
    /// Results.
    #[serde(default, rename = "out", skip_serializing_if = "Vec::is_empty")]
    pub outs: Vec<TensorId>,
    /// Local tensors whose storage ends with this instruction.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frees: Vec<TensorId>,
    /// Upper bound, in bytes, of what the kernel takes beside its operands and results while it runs.
    #[serde(default)]
    pub workspace: u64,
}

/// Straight-line code with its interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Body {
    /// Its name in calls.
    pub id: BodyId,
    /// A readable name: `layer.forward`.
    pub name: String,
    /// What it does in a step.
    pub kind: BodyKind,
    /// The block of the model it belongs to: `embedding`, `layer`, `head`, or `step` for what belongs to none. Forward and
    /// backward of one block share their frames.
    pub block: String,
    /// Wires it consumes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ins: Vec<Port>,
    /// Wires it fills.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outs: Vec<Port>,
    /// Tensors it leaves in its frame; never also on a wire.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub saves: Vec<TensorId>,
    /// Tensors it takes out of its frame; it frees them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub takes: Vec<TensorId>,
    /// The instructions, in order.
    pub code: Vec<Instr>,
}
