//! Lower bounds: what a placement takes at least, in time and memory, without emitting its plan.
//!
//! A layer's bodies are the same for every mesh that shares a [`Key`], so they are priced once per key, on a plan of one stage and
//! one micro-batch. A bound takes the stages as they will be cut and leaves out what else depends on the mesh (transfers, collectives
//! between replicas, the update, most of the waiting); so the simulation can never be below it.

use pleach_dsl::experiment::Experiment;
use pleach_plan::hardware::{Hardware, Kind};
use pleach_plan::{BodyKind, Bucket, Plan, Recompute, TensorId};

use crate::cost::{Costs, PICO, picoseconds};
use crate::memory;
use crate::placement::Placement;
use crate::program::passes::Pipeline;
use crate::program::{self, Cut, Layouts, stages};
use crate::simulate::actions::{self, Sharing};

/// What a layer's bodies depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    tp: u32,
    sequence_parallel: bool,
    recompute: Recompute,
    micro_batch: u64,
}

impl Key {
    /// Whether it differs from another at most in the micro-batch.
    pub fn grows(&self, other: &Key) -> bool {
        Key {
            micro_batch: other.micro_batch,
            ..*self
        } == *other
    }

    /// The key of a placement.
    pub fn of(placement: &Placement) -> Self {
        Key {
            tp: placement.tp,
            sequence_parallel: placement.sequence_parallel,
            recompute: placement.recompute,
            micro_batch: placement.micro_batch,
        }
    }
}

/// Times and bytes of one key.
pub struct Priced {
    /// The layouts that all placements of the key share.
    pub cut: Cut,
    /// The head's work in thousandths of a layer's.
    head_share: u64,
    /// For each number of layers, what so many of the first take.
    reached: Vec<u64>,
    embedding: u64,
    head: u64,
    computing: u64,
    /// For each number of layers, what so many of the first keep: weights, gradients, and what the optimizer keeps, in bytes.
    held: Vec<[u64; 3]>,
    masters: bool,
    /// Bytes a second between two ranks at best.
    bandwidth: f64,
    /// Whether weights are gathered and gradients scattered beside the computation.
    beside: bool,
    /// The gap that issuing a transfer leaves.
    launch: u64,
    frame: u64,
    fixed: u64,
    slack: f64,
    /// What times and memory are multiplied by since a run was measured.
    observed: [f64; 2],
    cores: Option<Sharing>,
}

/// Parts of a step that are multiplied are rounded one by one, so a bound stays a little below.
const ROUNDED: f64 = 1.0 - 1e-9;

/// A placement's lower bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Picoseconds of a step.
    pub step: u64,
    /// Bytes of the fullest rank.
    pub peak: u64,
}

/// Prices a key.
///
/// # Errors
/// No plan can be emitted for it; the text says why.
pub fn price(
    experiment: &Experiment,
    hardware: &Hardware,
    key: Key,
    layouts: &mut Layouts,
) -> Result<Priced, String> {
    let experiment = &whole(experiment);
    // What a budget lets run again depends on the stages; at least nothing runs again, and nothing is kept.
    let budget =
        experiment.plan.recompute_budget.is_some() && key.recompute == Recompute::Selective;
    let sample = sample(experiment, key, budget);
    let text = |error: program::EmitError| error.to_string();
    let cut = program::cut_as(experiment, &sample, layouts).map_err(text)?;
    let plan = program::emit_cut(experiment, &sample, &cut).map_err(text)?;
    let costs = Costs::new(&plan, hardware, &experiment.cluster);
    let time = |block: &str| times(&costs, &plan, block).iter().sum();
    let layers = each_layer(experiment, &costs, &plan);
    let computing = |block: &str| times(&costs, &plan, block)[0];
    let cores = actions::sharing(&costs);
    let frame = match budget {
        true => 0,
        false => memory::frame(&costs, "layer"),
    };
    let slack = if hardware.kind == Kind::Gpu {
        costs.engine().allocator_slack
    } else {
        0.0
    };
    let head_share = cut.head_share();
    Ok(Priced {
        cut,
        head_share,
        reached: reached(&layers),
        embedding: time("embedding"),
        head: time("head"),
        computing: layers.iter().map(|[compute, _]| compute).sum::<u64>()
            + computing("embedding")
            + computing("head"),
        held: held(&plan),
        masters: plan.buckets.iter().any(|bucket| bucket.master.is_some()),
        bandwidth: bandwidth(hardware),
        beside: costs.engine().prefetched_gathers > 0,
        launch: picoseconds(hardware.launch.value),
        frame,
        fixed: libm::floor(hardware.overhead.context.value) as u64,
        slack,
        observed: [hardware.time_factor(), hardware.memory_factor()],
        cores,
    })
}

/// The placement on one stage that a key is priced on.
fn sample(experiment: &Experiment, key: Key, budget: bool) -> Placement {
    let batch = experiment.train.global_batch;
    Placement {
        tp: key.tp,
        pp: 1,
        vpp: 1,
        dp: u32::try_from(batch / key.micro_batch).unwrap_or(u32::MAX),
        zero: 0,
        shards: 1,
        sequence_parallel: key.sequence_parallel,
        micro_batch: key.micro_batch,
        recompute: if budget {
            Recompute::None
        } else {
            key.recompute
        },
        engine: experiment.plan.engine.clone(),
    }
}

/// The experiment on one stage, whatever it says of stages.
fn whole(experiment: &Experiment) -> Experiment {
    let mut experiment = experiment.clone();
    experiment.plan.stages = None;
    experiment
}

/// What each layer computes and communicates.
fn each_layer(experiment: &Experiment, costs: &Costs<'_>, plan: &Plan) -> Vec<[u64; 2]> {
    let label = |kind: usize| match kind {
        0 => "layer".to_owned(),
        kind => format!("layer_{kind}"),
    };
    let kinds = 0..experiment.model.kinds.len();
    let kinds: Vec<[u64; 2]> = kinds.map(|kind| times(costs, plan, &label(kind))).collect();
    let order = experiment.model.order.iter();
    order.map(|&kind| kinds[kind]).collect()
}

/// For each number of layers, what so many of the first take.
fn reached(layers: &[[u64; 2]]) -> Vec<u64> {
    let mut reached = vec![0];
    for [compute, communication] in layers {
        let before = reached.last().copied().unwrap_or(0);
        reached.push(before + compute + communication);
    }
    reached
}

/// Computing and communicating of one block's forward and backward for one micro-batch.
fn times(costs: &Costs<'_>, plan: &Plan, label: &str) -> [u64; 2] {
    let steps =
        |body: &&pleach_plan::Body| matches!(body.kind, BodyKind::Forward | BodyKind::Backward);
    let bodies = plan
        .bodies
        .iter()
        .filter(|body| body.name.split('.').next() == Some(label))
        .filter(steps);
    bodies.map(|body| actions::summary(costs, body)).fold(
        [0, 0],
        |[compute, communication], summary| {
            [
                compute + summary.compute,
                communication + summary.communication,
            ]
        },
    )
}

/// The most that a rank can send in a second; without end where ranks share a memory.
fn bandwidth(hardware: &Hardware) -> f64 {
    let links = hardware.links.as_ref();
    links.map_or(f64::INFINITY, |links| {
        links.intra_node.value.max(links.inter_node.value)
    })
}

/// For each number of layers, what so many of the first keep.
fn held(plan: &Plan) -> Vec<[u64; 3]> {
    let bytes = |id: TensorId| {
        let tensor = &plan.tensors[id.0 as usize];
        match tensor.lives.is_layered() {
            true => tensor.bytes(),
            false => 0,
        }
    };
    let mut held = vec![[0; 3]];
    for layer in 0..plan.layer_count() {
        let mut sums = held[held.len() - 1];
        let lives = |bucket: &&Bucket| plan.tensors[bucket.m.0 as usize].lives;
        for bucket in plan
            .buckets
            .iter()
            .filter(|bucket| plan.has(layer, lives(bucket)))
        {
            sums[0] += bytes(bucket.weights);
            sums[1] += bytes(bucket.gradients);
            sums[2] += bytes(bucket.m) + bytes(bucket.v) + bucket.master.map_or(0, bytes);
        }
        held.push(sums);
    }
    held
}

impl Priced {
    /// The bounds of a placement of this key.
    pub fn bound(&self, experiment: &Experiment, placement: &Placement) -> Bound {
        let replicas = u64::from(placement.dp);
        let micro_steps = experiment.train.global_batch / (replicas * placement.micro_batch).max(1);
        let spans = stages::spans(experiment, placement, self.head_share);
        let pipeline = |stage: u32| Pipeline {
            stage,
            stages: placement.pp,
            chunks: placement.vpp,
            micro_steps: u32::try_from(micro_steps).unwrap_or(u32::MAX),
        };
        let chunks = |stage: usize| spans.iter().skip(stage).step_by(placement.pp as usize);
        let all = || (0..placement.pp).map(|stage| (pipeline(stage), chunks(stage as usize)));
        let step = all()
            .map(|(at, chunks)| self.step(placement, at, chunks))
            .max();
        let bytes = all()
            .map(|(at, chunks)| self.bytes(placement, at, chunks))
            .max();
        let peak = libm::floor(bytes.unwrap_or(0) as f64 * (1.0 + self.slack)) as u64;
        let step = self.shared(placement, micro_steps, step.unwrap_or(0));
        let times = |figure: u64, factor: f64| libm::floor(figure as f64 * factor) as u64;
        let [time, memory] = self.observed;
        Bound {
            step: if time == 1.0 {
                step
            } else {
                times(step, time * ROUNDED)
            },
            peak: times(self.fixed + peak, memory.min(1.0)),
        }
    }

    /// A stage works through all micro-batches; before its first forward and after its last backward the layers before it have theirs.
    fn step<'s>(
        &self,
        placement: &Placement,
        at: Pipeline,
        chunks: impl Iterator<Item = &'s [u32; 2]> + Clone,
    ) -> u64 {
        let ends = |held: bool, work: u64| if held { work } else { 0 };
        let inline = |time: u64| if self.beside { 0 } else { time };
        let taken = |&[first, last]: &[u32; 2]| self.before(last + 1) - self.before(first);
        let passing = chunks.clone().map(|chunk| self.passing(placement, *chunk));
        let passing: u64 = passing.sum();
        let own = chunks.clone().map(taken).sum::<u64>()
            + inline(passing)
            + ends(at.stage == 0, self.embedding)
            + ends(at.stage + 1 == at.stages, self.head);
        let first = chunks.clone().next().map_or(0, |&[first, _]| first);
        let ahead = first.checked_sub(1);
        let ahead = ahead.map_or(0, |last| self.passing(placement, [0, last]));
        let before = self.before(first) + inline(ahead) + ends(at.stage > 0, self.embedding);
        let queued = passing - inline(passing);
        // What it asks for first it may issue while it waits.
        let issued = (u64::from(at.micro_steps) * at.transfers()).saturating_sub(1);
        let worked = u64::from(at.micro_steps) * own + issued * self.launch + before;
        worked.max(u64::from(at.micro_steps) * queued)
    }

    /// What the layers before a layer take.
    fn before(&self, layer: u32) -> u64 {
        self.reached.get(layer as usize).copied().unwrap_or(0)
    }

    /// What layers keep whole: weights, gradients, and what the optimizer keeps, in bytes.
    fn kept(&self, [first, last]: [u32; 2]) -> [u64; 3] {
        let to = |layers: u32| self.held.get(layers as usize).copied().unwrap_or_default();
        let (before, behind) = (to(first), to(last + 1));
        [0, 1, 2].map(|kind: usize| behind[kind].saturating_sub(before[kind]))
    }

    /// What gathering layers' weights and scattering their gradients takes at least for each micro-batch, in picoseconds.
    fn passing(&self, placement: &Placement, layers: [u32; 2]) -> u64 {
        let [weights, gradients, _] = self.kept(layers);
        let parts = |bytes: u64| bytes as f64 * (1.0 - 1.0 / f64::from(placement.shards.max(1)));
        let gathered = if placement.zero >= 3 {
            2.0 * parts(weights)
        } else {
            0.0
        };
        let scattered = if placement.zero >= 2 {
            parts(gradients)
        } else {
            0.0
        };
        libm::floor((gathered + scattered) / self.bandwidth * PICO) as u64
    }

    /// All ranks of the machine's cores together do no more than the best point of contention allows.
    fn shared(&self, placement: &Placement, micro_steps: u64, alone: u64) -> u64 {
        let Some(sharing) = &self.cores else {
            return alone;
        };
        let ranks = u64::from(placement.dp) * u64::from(placement.tp);
        let work = u128::from(micro_steps * self.computing) * u128::from(ranks);
        alone.max(sharing.least(work))
    }

    /// What a stage's layers keep from step to step, and what forward has left of them when the first backward begins.
    fn bytes<'s>(
        &self,
        placement: &Placement,
        at: Pipeline,
        chunks: impl Iterator<Item = &'s [u32; 2]> + Clone,
    ) -> u64 {
        let share = |bytes: u64, from: u32| bytes / u64::from(placement.divides(from).max(1));
        let layer = |&chunk: &[u32; 2]| {
            let [weights, gradients, optimizer] = self.kept(chunk);
            let weights = match self.masters && placement.divides(3) > 1 {
                true => 0,
                false => share(weights, 3),
            };
            weights + share(gradients, 2) + share(optimizer, 1)
        };
        let kept: u64 = chunks.clone().map(layer).sum();
        let in_flight = at.in_flight().into_iter().zip(chunks);
        let frames = in_flight.map(|(count, chunk)| count * layers([chunk].into_iter()));
        kept + frames.sum::<u64>() * self.frame
    }
}

fn layers<'s>(chunks: impl Iterator<Item = &'s [u32; 2]>) -> u64 {
    let count = |[first, last]: &[u32; 2]| u64::from(last - first) + 1;
    chunks.map(count).sum()
}
