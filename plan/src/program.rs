//! The plan as a whole: mesh, tensors, bodies, one role for each pipeline stage, and what training needs beside the program.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::evaluation::Evaluation;
use crate::guard::{NotFinite, Scaling};
use crate::logging::Logging;
use crate::phases::Begins;
use crate::prediction::Prediction;
use crate::saving::Saving;
use crate::{Body, BodyId, Dtype, Group, Lives, Mesh, Schedule, Tensor, TensorId, Wire};

/// A whole execution plan: what a worker needs beside its rank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Version of this format.
    pub schema: u32,
    /// Name of the experiment.
    pub experiment: String,
    /// Identities, as hexadecimal BLAKE3.
    pub hashes: Hashes,
    /// The engine whose lowering this is: `pleach`, `neox`, `megatron`, ….
    pub engine: String,
    /// The mesh of ranks.
    pub mesh: Mesh,
    /// ZeRO stage, 0 to 3.
    pub zero: u32,
    /// Whether the residual stream is sharded over the sequence between tensor-parallel regions.
    pub sequence_parallel: bool,
    /// What forward keeps.
    pub recompute: Recompute,
    /// Groups that communicate.
    pub groups: Vec<Group>,
    /// Named sizes, for readers: batch, sequence, hidden, heads, ….
    pub dims: BTreeMap<String, u64>,
    /// All tensors; index is id.
    pub tensors: Vec<Tensor>,
    /// Parameters of the model, with their initial values.
    pub parameters: Vec<Parameter>,
    /// Groups of parameters that are reduced and updated as one.
    pub buckets: Vec<Bucket>,
    /// All bodies; index is id.
    pub bodies: Vec<Body>,
    /// The kind of each layer, as far as parameters differ; empty where all layers have the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<u32>,
    /// One role for each pipeline stage; index is the stage.
    pub roles: Vec<Role>,
    /// The static tensor `[loss, squared gradient norm]` that a step leaves behind on every rank; where gradients are summed in lanes, the digits of
    /// both ([`crate::tally`]).
    pub report: TensorId,
    /// What training needs beside the program.
    pub training: Training,
    /// The data and its order.
    pub data: DataPlan,
    /// What the planner expects of this plan; not part of any hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction: Option<Prediction>,
    /// The plans of the phases behind this one, where the run has several; they hold none themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<Plan>,
}

/// The identities a run is recorded under.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashes {
    /// Model, data, training, seed, precision.
    pub experiment: String,
    /// The program: everything in the plan but `hashes`, `data` and `prediction`.
    pub placement: String,
}

/// What forward keeps for backward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recompute {
    /// Everything that backward reads.
    None,
    /// All but what costs little to compute again beside the room it takes; what that is, the engine says.
    Selective,
    /// Only each layer's input; backward computes the rest again.
    Full,
}

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Init {
    /// Independent normal values from a counter over logical indices.
    Normal {
        /// Standard deviation.
        std: f64,
    },
    /// Independent values, evenly between two bounds, from a counter over logical indices.
    Uniform {
        /// The upper bound; the lower is as far on the other side of zero.
        bound: f64,
    },
    /// A matrix whose shorter side is at right angles, of independent normal values from a counter over logical indices; of more than two
    /// dimensions each matrix of the last two.
    Orthogonal {
        /// Length of the vectors.
        gain: f64,
    },
    /// All zero.
    Zeros,
    /// All one.
    Ones,
    /// The logarithm of one more than the index in the last dimension: how fast the numbers of a state decay.
    LogCounts,
    /// Numbers whose softplus lies between two bounds, evenly by its logarithm: step sizes of a state space.
    Steps {
        /// The shortest.
        low: f64,
        /// The longest.
        high: f64,
    },
}

/// One parameter of the model (for a `Layered` tensor: one for each layer).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Logical name; `{layer}` stands for the layer's number: `layers.{layer}.attention.qkv.weight`.
    pub name: String,
    /// The local shard: a view into its bucket's weights.
    pub tensor: TensorId,
    /// Its gradient: a view into its bucket's gradients.
    pub gradient: TensorId,
    /// Logical, unsharded dimensions.
    pub dims: Vec<u64>,
    /// The dimension that tensor parallelism cuts; none where every rank holds it whole.
    pub shard: Option<usize>,
    /// Initial values.
    pub init: Init,
    /// Index of its bucket.
    pub bucket: usize,
}

/// Parameters of one block that share layout, type and weight decay: one flat storage, reduced and updated as one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// A readable name: `layer.matrices`.
    pub name: String,
    /// Flat weights in compute type: static, or (ZeRO 3) local to the bodies that gather them.
    pub weights: TensorId,
    /// Flat gradients in accumulation type: static, or (ZeRO 2) local to the bodies that make them.
    pub gradients: TensorId,
    /// Sums of lanes that wait for their neighbours, lowest level first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub levels: Vec<TensorId>,
    /// Of a matrix that embedding and head share on one stage, where sums keep one order: flat gradients of the head's use of it, and its sums of
    /// lanes as `levels`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apart: Vec<TensorId>,
    /// This replica's slice of the gradients summed so far, where the whole is local.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sums: Option<TensorId>,
    /// Flat weights in master type; none where `weights` serve (then the optimizer updates those, or under ZeRO their slice).
    pub master: Option<TensorId>,
    /// First moments or momentum, whole or (ZeRO) this replica's slice.
    pub m: TensorId,
    /// Second moments, likewise; none where the optimizer has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v: Option<TensorId>,
    /// Elements in use; the rest of the flat storage pads it to a multiple of the replicas and stays zero.
    pub length: u64,
}

/// What one pipeline stage does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Role {
    /// The stage.
    pub stage: u32,
    /// First and last layer of each of its chunks, in rising order: one chunk, or several where stages are interleaved.
    pub chunks: Vec<[u32; 2]>,
    /// Static tensors it holds (`Layered` ones once for each of its layers).
    pub statics: Vec<TensorId>,
    /// One step, in order.
    pub slots: Vec<Slot>,
}

impl Plan {
    /// Number of layers of the model.
    pub fn layer_count(&self) -> u32 {
        let last = |role: &Role| role.chunks.last().map(|&[_, last]| last.saturating_add(1));
        self.roles.iter().filter_map(last).max().unwrap_or(0)
    }

    /// Whether a bucket belongs to a block of the layers.
    pub fn is_layered(&self, bucket: &Bucket) -> bool {
        self.tensors[bucket.m.0 as usize].lives.is_layered()
    }

    /// The weights that a bucket keeps from step to step: those in compute type, or where they are gathered their masters.
    pub fn kept_weights(&self, bucket: &Bucket) -> TensorId {
        match self.tensors[bucket.weights.0 as usize].lives {
            Lives::Local => bucket.master.unwrap_or(bucket.weights),
            Lives::Static | Lives::Layered | Lives::Kind(_) => bucket.weights,
        }
    }

    /// Whether a layer has a copy of what lives so.
    pub fn has(&self, layer: u32, lives: Lives) -> bool {
        match lives {
            Lives::Layered => true,
            Lives::Kind(kind) => self.kinds.get(layer as usize) == Some(&kind),
            Lives::Static | Lives::Local => false,
        }
    }

    /// The layers for which a role holds copies of a tensor: a nameless one for what is not layered.
    pub fn copies(&self, role: &Role, id: TensorId) -> Vec<Option<u32>> {
        let lives = self.tensors[id.0 as usize].lives;
        if !lives.is_layered() {
            return vec![None];
        }
        let layers = role.layers().filter(|&layer| self.has(layer, lives));
        layers.map(Some).collect()
    }

    /// How many copies of a tensor a role holds.
    pub fn copy_count(&self, role: &Role, id: TensorId) -> u64 {
        match self.tensors[id.0 as usize].lives {
            Lives::Static | Lives::Local => 1,
            Lives::Layered => role.layer_count(),
            lives => role
                .layers()
                .filter(|&layer| self.has(layer, lives))
                .count() as u64,
        }
    }

    /// Chunks of each pipeline stage.
    pub fn chunk_count(&self) -> u32 {
        self.roles
            .first()
            .map_or(1, |role| role.chunks.len() as u32)
    }
}

impl Role {
    /// The layers it holds, in rising order.
    pub fn layers(&self) -> impl Iterator<Item = u32> + '_ {
        self.chunks.iter().flat_map(|&[first, last]| first..=last)
    }

    /// How many layers it holds.
    pub fn layer_count(&self) -> u64 {
        let count = |&[first, last]: &[u32; 2]| (u64::from(last) + 1).saturating_sub(first.into());
        self.chunks.iter().map(count).sum()
    }

    /// Whether it holds a bucket.
    pub fn holds(&self, bucket: &Bucket) -> bool {
        self.statics.contains(&bucket.m)
    }
}

/// One entry of a role's program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Slot {
    /// Runs a body.
    Call(Call),
    /// Begins a transfer to or from another stage; computing goes on meanwhile.
    Start(Transfer),
    /// Waits until the transfer with this token has ended: a sent storage ends here, a received value is on its wire from here.
    Wait(u32),
    /// A place in the step that the interpreters act upon.
    Mark(Mark),
}

/// A body's call: once for its block, or for each layer of a range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// What to run.
    pub body: BodyId,
    /// First and last layer, for bodies of the block `layer`; the body's kind says in which direction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<[u32; 2]>,
    /// Which of the role's chunks the pass goes through; 0 for what is done once a step.
    #[serde(default, skip_serializing_if = "is_first")]
    pub chunk: u32,
    /// Which micro-batch of the step.
    #[serde(default)]
    pub micro_batch: u32,
}

fn is_first(chunk: &u32) -> bool {
    *chunk == 0
}

/// Direction of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransferKind {
    /// Takes the wire's value away and gives it to the peer.
    Send,
    /// Brings a value of the peer's onto the wire.
    Receive,
}

/// A point-to-point transfer between equal coordinates of two stages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Unique in the role; [`Slot::Wait`] names it.
    pub token: u32,
    /// Direction.
    pub kind: TransferKind,
    /// The other stage.
    pub peer: u32,
    /// Which wire.
    pub wire: Wire,
    /// Which micro-batch.
    pub micro_batch: u32,
    /// Which chunk of the sending stage made it.
    #[serde(default, skip_serializing_if = "is_first")]
    pub chunk: u32,
    /// A tensor of the shape and type that travels.
    pub tensor: TensorId,
}

impl Transfer {
    /// The chunk of its own stage, out of so many stages, that makes or reads the value: the sender's, but across the pipeline's ends.
    pub fn own_chunk(&self, stage: u32, stages: u32) -> u32 {
        match (self.kind, self.wire) {
            (TransferKind::Receive, Wire::Hidden) if stage == 0 => self.chunk.saturating_add(1),
            (TransferKind::Receive, Wire::Gradient) if stage + 1 == stages => {
                self.chunk.saturating_sub(1)
            }
            _ => self.chunk,
        }
    }
}

/// A place in the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// The first slot.
    StepBegin,
    /// All gradients are there.
    Optimizer,
    /// The last slot: parameters are those of the next step.
    StepEnd,
}

/// What training needs beside the program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Seed of initial values and data order.
    pub seed: u64,
    /// The name of the phase, where the run has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// What earlier phases did.
    #[serde(default, skip_serializing_if = "Begins::is_start")]
    pub begins: Begins,
    /// Steps of the run that are done at the end of this program: its length, or with phases where this one ends.
    pub steps: u64,
    /// Sequences of a step over all replicas.
    pub global_batch: u64,
    /// Sequences a rank works on at once.
    pub micro_batch: u64,
    /// Micro-batches of a step on each replica.
    pub micro_steps: u32,
    /// Positions of a sequence.
    pub sequence: u64,
    /// Learning rate.
    pub schedule: Schedule,
    /// Type of activations and matrices.
    pub compute: Dtype,
    /// Type of gradient accumulators, moments and master weights.
    pub accumulate: Dtype,
    /// When the run is saved, and how.
    pub saving: Saving,
    /// What it writes of its steps.
    #[serde(default, skip_serializing_if = "Logging::is_usual")]
    pub logging: Logging,
    /// When its loss is measured on what is held out; none for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<Evaluation>,
    /// How the loss is multiplied before gradients are taken, where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,
    /// What follows a step that is not finite.
    #[serde(default, skip_serializing_if = "NotFinite::is_usual")]
    pub not_finite: NotFinite,
    /// Lanes in which gradients are summed over the samples of a step ([`crate::lanes`]); none where sums follow the placement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lanes: Option<u32>,
    /// What the run begins with, where that is not drawn from the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
}

/// Weights that somebody trained before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weights {
    /// Where they are, as the spec says it.
    pub source: String,
    /// BLAKE3 over their files; set when they are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// The mix and the identity of its order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataPlan {
    /// The dataset's name.
    pub name: String,
    /// Where the data comes from, as the spec says it.
    pub source: String,
    /// How text becomes ids: `bytes`.
    pub tokenizer: String,
    /// Vocabulary rows of the model.
    pub vocab: u64,
    /// The components with their shares.
    pub mix: Vec<Component>,
    /// How its files are read.
    #[serde(default, skip_serializing_if = "Reading::is_usual")]
    pub reading: Reading,
    /// In which order samples come.
    #[serde(default, skip_serializing_if = "Ordering::is_usual")]
    pub ordering: Ordering,
    /// Seed of that order, where it is not the run's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_seed: Option<u64>,
    /// How documents become samples.
    #[serde(default, skip_serializing_if = "Packing::is_usual")]
    pub packing: Packing,
    /// Shares of the documents for training, validation and test; none where all are trained on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub split: Vec<f64>,
    /// Hash over the order of all samples of the run, those of all phases; set when the data is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// What the spec asks of the data and no reader does yet; a plan that names anything here is not run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
}

/// In which order samples come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ordering {
    /// A permutation counted from the seed.
    #[default]
    Counter,
    /// GPT-NeoX's document, sample and shuffle index.
    GptNeox,
    /// As the files have them.
    Sequential,
}

impl Ordering {
    fn is_usual(&self) -> bool {
        *self == Ordering::default()
    }
}

/// How documents become samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Packing {
    /// One stream, cut at the length of a sample.
    #[default]
    Stream,
    /// Whole documents as long as another fits; the rest is filled up and does not count.
    Documents,
    /// One document a sample.
    Single,
}

impl Packing {
    fn is_usual(&self) -> bool {
        *self == Packing::default()
    }
}

/// How text is read from files of lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The key of a line's text.
    pub text: String,
    /// Whether a line that cannot be read is skipped and counted; else it ends the reading.
    pub skip_bad_lines: bool,
    /// Whether the tokenizer's end-of-document token follows each document.
    pub append_eod: bool,
    /// The key of a line's answer; `text` is then that of its prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Whether only answers count in the loss.
    #[serde(default, skip_serializing_if = "is_false")]
    pub answers_only: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl Default for Reading {
    fn default() -> Reading {
        Reading {
            text: "text".to_owned(),
            skip_bad_lines: false,
            append_eod: false,
            answer: None,
            answers_only: false,
        }
    }
}

impl Reading {
    /// Sequences of tokens that a document consists of: one, or a prompt and its answer.
    pub fn sequences(&self) -> usize {
        if self.answer.is_some() { 2 } else { 1 }
    }

    fn is_usual(&self) -> bool {
        *self == Reading::default()
    }
}

/// One component of the mix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Component {
    /// Its name in the mix.
    pub name: String,
    /// Where it comes from, if not from the data's source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Which files of the source belong to it.
    pub files: Vec<String>,
    /// Its share as an exact fraction: numerator, denominator.
    pub weight: [u64; 2],
    /// How often the run may pass over it.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub repeat: f64,
    /// BLAKE3 of its token file; set when the data is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

fn once() -> f64 {
    1.0
}

fn is_once(times: &f64) -> bool {
    *times == once()
}
