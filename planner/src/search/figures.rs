//! The figures of a placement under the names that specs use: `tp`, `memory.peak`, `step_time`, `cost`, ….

use std::sync::Arc;

use pleach_dsl::experiment::Experiment;
use pleach_dsl::wish::{Dimension, Figure, Quantity, Scope};
use pleach_plan::Recompute;

use crate::placement::Placement;

/// What is settled of a placement so far.
#[derive(Clone)]
pub struct Scoped<'e> {
    experiment: &'e Experiment,
    /// Nodes of the cluster.
    pub nodes: u64,
    /// Tensor-parallel ranks.
    pub tp: Option<u64>,
    /// Stages.
    pub pp: Option<u64>,
    /// Chunks of each stage.
    pub vpp: Option<u64>,
    /// Replicas.
    pub dp: Option<u64>,
    /// ZeRO stage.
    pub zero: Option<u64>,
    /// Replicas among which ZeRO divides.
    pub shards: Option<u64>,
    /// Sequences at once.
    pub micro_batch: Option<u64>,
    /// What forward keeps.
    pub recompute: Option<String>,
    /// Whether the residual stream is sharded over the sequence.
    pub sequence_parallel: Option<bool>,
    /// Peak of the fullest stage, in bytes.
    pub peak: Option<u64>,
    /// Memory of one rank, in bytes.
    pub capacity: Option<u64>,
    /// Time of a step, in picoseconds.
    pub step: Option<u64>,
}

impl<'e> Scoped<'e> {
    /// Nothing settled.
    pub fn new(experiment: &'e Experiment) -> Self {
        Scoped {
            experiment,
            nodes: experiment.cluster.nodes,
            tp: None,
            pp: None,
            vpp: None,
            dp: None,
            zero: None,
            shards: None,
            micro_batch: None,
            recompute: None,
            sequence_parallel: None,
            peak: None,
            capacity: None,
            step: None,
        }
    }

    /// A whole placement, its figures still open.
    pub fn of(experiment: &'e Experiment, placement: &Placement) -> Self {
        Scoped {
            tp: Some(placement.tp.into()),
            pp: Some(placement.pp.into()),
            vpp: Some(placement.vpp.into()),
            dp: Some(placement.dp.into()),
            zero: Some(placement.zero.into()),
            shards: Some(placement.shards.into()),
            micro_batch: Some(placement.micro_batch),
            recompute: Some(word(placement.recompute).to_owned()),
            sequence_parallel: Some(placement.sequence_parallel),
            ..Scoped::new(experiment)
        }
    }

    /// The placement, once everything is settled.
    pub fn placement(
        &self,
        engine: &Arc<str>,
        recompute: Recompute,
        sequence_parallel: bool,
    ) -> Placement {
        let ranks = |value: Option<u64>| u32::try_from(value.unwrap_or(1)).unwrap_or(u32::MAX);
        Placement {
            tp: ranks(self.tp),
            pp: ranks(self.pp),
            vpp: ranks(self.vpp),
            dp: ranks(self.dp),
            zero: u32::try_from(self.zero.unwrap_or(0)).unwrap_or(u32::MAX),
            shards: ranks(self.shards.or(self.dp)),
            sequence_parallel,
            micro_batch: self.micro_batch.unwrap_or(1),
            recompute,
            engine: engine.clone(),
        }
    }

    /// The region that messages name: the mesh.
    pub fn region(&self) -> String {
        format!("tp {}", self.tp.unwrap_or(1))
    }

    /// Seconds of a step.
    pub fn step_seconds(&self) -> Option<f64> {
        self.step.map(|step| step as f64 / crate::cost::PICO)
    }

    /// GPUs that are held, idle ones included.
    fn gpus(&self) -> u64 {
        self.nodes
            .saturating_mul(self.experiment.cluster.gpus_per_node)
    }

    /// US dollars of the run, for all GPUs that are held.
    pub fn cost(&self) -> Option<f64> {
        let seconds = self.step_seconds()? * self.experiment.train.steps as f64;
        let price = self.experiment.cluster.price.as_ref()?.usd_per_gpu_hour;
        Some(seconds / 3600.0 * self.gpus() as f64 * price)
    }
}

/// The schedule's word for so many chunks of each stage.
pub fn schedule(chunks: u64) -> &'static str {
    if chunks > 1 { "interleaved" } else { "1f1b" }
}

/// The word of a spec.
pub fn word(recompute: Recompute) -> &'static str {
    match recompute {
        Recompute::None => "none",
        Recompute::Selective => "selective",
        Recompute::Full => "full",
    }
}

impl Scope for Scoped<'_> {
    fn look_up(&self, path: &str) -> Option<Figure> {
        let count = |value: Option<u64>| value.map(|value| Figure::Number(Quantity::count(value)));
        let bytes = |value: Option<u64>| value.map(|value| Figure::Number(Quantity::bytes(value)));
        let measured = |value: Option<f64>, dimension| {
            Quantity::measured(value?, dimension).map(Figure::Number)
        };
        match path {
            "nodes" => count(Some(self.nodes)),
            "gpus" => count(Some(self.gpus())),
            "tp" => count(self.tp),
            "pp" => count(self.pp),
            "dp" => count(self.dp),
            "vpp" => count(self.vpp),
            "cp" | "ep" => count(Some(1)),
            "schedule" => self.vpp.map(|vpp| Figure::Word(schedule(vpp).to_owned())),
            "offload" => Some(Figure::Word("none".to_owned())),
            "zero" => count(self.zero),
            "shards" => count(self.shards),
            "micro_batch" => count(self.micro_batch),
            "recompute" => self.recompute.clone().map(Figure::Word),
            "sequence_parallel" => self.sequence_parallel.map(Figure::Truth),
            "memory.peak" => bytes(self.peak),
            "gpu.memory" => bytes(self.capacity),
            "step_time" => measured(self.step_seconds(), Dimension::SECONDS),
            "time" => {
                let steps = self.experiment.train.steps as f64;
                measured(
                    self.step_seconds().map(|seconds| seconds * steps),
                    Dimension::SECONDS,
                )
            }
            "cost" => measured(self.cost(), Dimension::USD),
            _ => None,
        }
    }
}
