//! The parts of a report: one evaluated placement in, its figures in the units of the interface out.

use pleach_dsl::experiment::Experiment;
use pleach_plan::hardware::Hardware;
use pleach_plan::{Plan, Useful, json};
use serde::Serialize;

use super::model;
use crate::cost::PICO;
use crate::hardware::bands::Band;
use crate::search::Evaluated;
use crate::search::figures::{schedule, word};

/// A placement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Placed {
    /// Hash of its program.
    pub hash: String,
    /// Tensor-parallel ranks.
    pub tp: u32,
    /// Stages.
    pub pp: u32,
    /// Replicas.
    pub dp: u32,
    /// Context-parallel ranks.
    pub cp: u32,
    /// Expert-parallel ranks.
    pub ep: u32,
    /// Virtual stages on each rank.
    pub vpp: u32,
    /// Whether the residual stream is sharded over the sequence.
    pub sp: bool,
    /// ZeRO stage.
    pub zero: u32,
    /// Replicas among which ZeRO divides, where it does among fewer than all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shards: Option<u32>,
    /// What forward keeps.
    pub recompute: String,
    /// Sequences at once.
    pub micro_batch: u64,
    /// Micro-batches of a step on each replica.
    pub micro_steps: u32,
    /// The pipeline's schedule.
    pub schedule: String,
    /// First and last layer of each stage.
    pub stages: Vec<[u32; 2]>,
}

/// The step; the parts are means over stages and sum to the whole.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Time {
    /// The whole step, in seconds, as all that follows.
    pub step_s: f64,
    /// Forward and backward.
    pub compute_s: f64,
    /// Waiting for other stages.
    pub bubble_s: f64,
    /// Communication that nothing hides.
    pub exposed_comm_s: f64,
    /// What is done once a step.
    pub optimizer_s: f64,
    /// Lower end of the 90 % band.
    pub low_s: f64,
    /// Upper end.
    pub high_s: f64,
}

/// Rates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Throughput {
    /// Tokens per second of all GPUs.
    pub tokens_per_s: f64,
    /// Of one.
    pub tokens_per_s_per_gpu: f64,
    /// Matrix products of the model, without recompute, in TFLOP/s.
    pub model_tflops_per_gpu: f64,
    /// With recompute.
    pub hardware_tflops_per_gpu: f64,
    /// Model FLOP/s over the device's peak (without a known peak: over the rate that large products reach).
    pub mfu: f64,
}

/// Memory of the fullest rank, and of each stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Memory {
    /// What the device shows.
    pub peak_bytes: u64,
    /// Lower end of the 90 % band.
    pub low_bytes: u64,
    /// Upper end.
    pub high_bytes: u64,
    /// What live tensors hold.
    pub allocated_bytes: u64,
    /// What may be used.
    pub capacity_bytes: u64,
    /// Whether the peak stays within.
    pub fits: bool,
    /// By kind.
    pub per_stage: Vec<Stage>,
}

/// One stage's memory by kind, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Stage {
    /// Weights.
    pub parameters: u64,
    /// Gradients.
    pub gradients: u64,
    /// Master weights and moments.
    pub optimizer: u64,
    /// What forward left and what is being worked on.
    pub activations: u64,
    /// Workspace, small static tensors, reduction buckets.
    pub buffers: u64,
    /// Context, libraries, allocator.
    pub overhead: u64,
    /// The sum.
    pub peak: u64,
}

/// The whole run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Run {
    /// Steps.
    pub steps: u64,
    /// Tokens.
    pub tokens: u64,
    /// Seconds.
    pub seconds: f64,
    /// GPU-hours.
    pub gpu_hours: f64,
    /// US dollars, where the price is known.
    pub cost_usd: Option<f64>,
    /// What measuring the loss on what is held out adds; none where it is not measured.
    pub evaluation: Option<Evaluations>,
}

/// How often the loss on what is held out is measured, and what that takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Evaluations {
    /// How often.
    pub times: u64,
    /// Global batches each time, where the data has as many.
    pub batches: u64,
    /// Seconds of all of them.
    pub seconds: f64,
    /// Whether one is there because the run ends.
    #[serde(skip)]
    once_more: bool,
}

impl Evaluations {
    /// Of a plan whose batch is measured in so many picoseconds, if it is the last of its run.
    fn of(plan: &Plan, batch: u64) -> Option<Self> {
        let (training, own) = (&plan.training, plan.training.evaluation?);
        let (regular, once_more) = own.times(training.begins.steps, training.steps);
        let evaluations = Evaluations {
            times: regular + u64::from(once_more),
            batches: own.batches,
            seconds: 0.0,
            once_more,
        };
        Some(evaluations.taking(seconds(batch) * own.batches as f64))
    }

    fn taking(self, each: f64) -> Self {
        let seconds = each * self.times as f64;
        Evaluations { seconds, ..self }
    }

    /// The same of a phase behind which the run goes on.
    fn going_on(self) -> Self {
        let each = self.seconds / self.times.max(1) as f64;
        let goes_on = Evaluations {
            times: self.times - u64::from(self.once_more),
            once_more: false,
            ..self
        };
        goes_on.taking(each)
    }
}

fn seconds(ps: u64) -> f64 {
    ps as f64 / PICO
}

impl Placed {
    /// Of an evaluated placement.
    pub fn of(evaluated: &Evaluated) -> Self {
        Placed {
            shards: evaluated.placement.blocks(),
            ..Placed::of_plan(&evaluated.plan)
        }
    }

    /// Of a plan, wherever it comes from.
    pub fn of_plan(plan: &Plan) -> Self {
        let hash = match plan.hashes.placement.as_str() {
            "" => json::placement_hash(plan),
            known => known.to_owned(),
        };
        let (mesh, chunks) = (plan.mesh, plan.chunk_count());
        Placed {
            hash,
            tp: mesh.tp,
            pp: mesh.pp,
            dp: mesh.dp,
            cp: mesh.cp,
            ep: 1,
            vpp: chunks,
            sp: plan.sequence_parallel,
            zero: plan.zero,
            shards: mesh.shards,
            recompute: word(plan.recompute).to_owned(),
            micro_batch: plan.training.micro_batch,
            micro_steps: plan.training.micro_steps,
            schedule: schedule(chunks.into()).to_owned(),
            stages: stages(plan),
        }
    }
}

/// First and last layer of every chunk of every stage, as the pipeline passes them.
fn stages(plan: &Plan) -> Vec<[u32; 2]> {
    let chunks = 0..plan.chunk_count() as usize;
    let of = |chunk: usize| {
        let roles = plan.roles.iter();
        roles.filter_map(move |role| role.chunks.get(chunk).copied())
    };
    chunks.flat_map(of).collect()
}

impl Time {
    /// Of an evaluated placement.
    pub fn of(evaluated: &Evaluated, band: &Band) -> Self {
        let mean = evaluated.simulation.mean();
        let [low, high] = band.around(evaluated.simulation.step);
        Time {
            step_s: seconds(evaluated.simulation.step),
            compute_s: seconds(mean.compute),
            bubble_s: seconds(mean.bubble),
            exposed_comm_s: seconds(mean.communication),
            optimizer_s: seconds(mean.optimizer),
            low_s: seconds(low),
            high_s: seconds(high),
        }
    }
}

impl Throughput {
    /// Of an evaluated placement.
    pub fn of(experiment: &Experiment, hardware: &Hardware, evaluated: &Evaluated) -> Self {
        let step = seconds(evaluated.simulation.step.max(1));
        let gpus = experiment.ranks().max(1) as f64;
        let model = model::model_flops(experiment) / step / gpus;
        let peak = peak(experiment, hardware);
        Throughput {
            tokens_per_s: model::tokens(experiment) / step,
            tokens_per_s_per_gpu: model::tokens(experiment) / step / gpus,
            model_tflops_per_gpu: model / 1e12,
            hardware_tflops_per_gpu: model::hardware_flops(
                experiment,
                evaluated.placement.recompute,
            ) / step
                / gpus
                / 1e12,
            mfu: peak.map_or(0.0, |peak| model / peak),
        }
    }
}

/// FLOP/s that utilisation is measured against: the data sheet's, or what products reached; for a type that nobody measured those of the slowest.
fn peak(experiment: &Experiment, hardware: &Hardware) -> Option<f64> {
    let dtype = model::dtype(experiment.train.precision);
    let gemm = hardware.gemm.iter().find(|gemm| gemm.dtype == dtype);
    let own = gemm.map(|gemm| gemm.peak.as_ref().unwrap_or(&gemm.rate).value);
    let slowest = || {
        let rates = hardware.gemm.iter().map(|gemm| gemm.rate.value);
        rates.reduce(f64::min)
    };
    let sixteen = dtype.bytes() == 2;
    let said = experiment.cluster.peak_flops.filter(|_| sixteen);
    said.or(own).or_else(slowest)
}

/// What the use of each of so many ranks is measured by.
pub(super) fn useful(experiment: &Experiment, hardware: &Hardware, ranks: u32) -> Option<Useful> {
    let flops = model::model_flops(experiment) / f64::from(ranks.max(1));
    let peak = peak(experiment, hardware)?;
    Some(Useful {
        flops: libm::round(flops) as u64,
        peak: libm::round(peak).max(1.0) as u64,
    })
}

impl Memory {
    /// Of an evaluated placement.
    pub fn of(evaluated: &Evaluated, band: &Band) -> Self {
        let [low, high] = band.around(evaluated.peak());
        let stage = |stage: &crate::memory::StageMemory| Stage {
            parameters: stage.parameters,
            gradients: stage.gradients,
            optimizer: stage.optimizer,
            activations: stage.activations,
            buffers: stage.buffers,
            overhead: stage.overhead,
            peak: stage.peak,
        };
        Memory {
            peak_bytes: evaluated.peak(),
            low_bytes: low,
            high_bytes: high,
            allocated_bytes: evaluated
                .memory
                .iter()
                .map(|stage| stage.allocated)
                .max()
                .unwrap_or(0),
            capacity_bytes: evaluated.capacity,
            fits: evaluated.fits(),
            per_stage: evaluated.memory.iter().map(stage).collect(),
        }
    }
}

impl Run {
    /// Of an evaluated placement, with the picoseconds in which it measures a batch, unless it would stand still there.
    pub fn of(experiment: &Experiment, evaluated: &Evaluated, measuring: Option<u64>) -> Self {
        let steps = experiment.train.steps;
        let time = seconds(evaluated.simulation.step) * steps as f64;
        Run {
            steps,
            tokens: steps * experiment.train.global_batch * experiment.model.context,
            seconds: time,
            gpu_hours: time / 3600.0 * experiment.cluster.gpus() as f64,
            cost_usd: evaluated.scope(experiment).cost(),
            evaluation: measuring.and_then(|batch| Evaluations::of(&evaluated.plan, batch)),
        }
    }

    /// The same of a phase behind which the run goes on.
    pub fn going_on(self) -> Self {
        let evaluation = self.evaluation.map(Evaluations::going_on);
        Run { evaluation, ..self }
    }

    /// Several of them, one behind the other.
    pub fn sum(runs: &[Run]) -> Self {
        let measured = runs.iter().filter_map(|run| run.evaluation);
        let evaluation = measured.reduce(|all, own| Evaluations {
            times: all.times + own.times,
            seconds: all.seconds + own.seconds,
            ..own
        });
        let costs: Option<Vec<f64>> = runs.iter().map(|run| run.cost_usd).collect();
        Run {
            steps: runs.iter().map(|run| run.steps).sum(),
            tokens: runs.iter().map(|run| run.tokens).sum(),
            seconds: runs.iter().map(|run| run.seconds).sum(),
            gpu_hours: runs.iter().map(|run| run.gpu_hours).sum(),
            cost_usd: costs.map(|costs| costs.iter().sum()),
            evaluation,
        }
    }
}
