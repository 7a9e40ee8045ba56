//! Lower bounds: what a placement takes at least, in time and memory, without emitting its plan.
//!
//! A layer's bodies are the same for every mesh that shares a [`Key`], so they are priced once per key, on a plan of one stage and
//! one micro-batch. A bound takes the stages as they will be cut ([`outline`](super::outline)), adds what replicas owe each other
//! ([`replicas`](super::replicas)) and leaves out most of the waiting; so the simulation can never be below it.

use pleach_dsl::experiment::{Experiment, Sums};
use pleach_plan::hardware::{Hardware, Kind};
use pleach_plan::{Body, BodyKind, Bucket, Plan, Recompute, TensorId};

use super::outline::{Hops, Outline, Outlines, Shares};
use super::replicas::Replicas;
use crate::cost::links::Links;
use crate::cost::{Costs, picoseconds};
use crate::memory;
use crate::placement::Placement;
use crate::program::{self, Cut, Layouts};
use crate::simulate::actions::{self, Sharing, Summary};

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

/// Times and bytes of one key; of layers by their kind.
pub struct Priced {
    /// The layouts that all placements of the key share.
    pub cut: Cut,
    /// The head's work in thousandths of a layer's.
    head_share: u64,
    /// Forward and backward of a micro-batch.
    passes: Vec<u64>,
    /// The same of embedding and head.
    ends: [u64; 2],
    /// What of all passes of one micro-batch computes.
    computing: u64,
    /// Weights, gradients, and what the optimizer keeps, in bytes: of layers, and of embedding and head.
    held: Vec<[u64; 3]>,
    held_ends: [[u64; 3]; 2],
    /// The matrix that embedding and head share, which the first and the last stage hold.
    held_tied: [u64; 3],
    masters: bool,
    /// What one replica's update takes of a layer, and of the embedding.
    update: Vec<u64>,
    update_embedding: u64,
    replicas: Replicas,
    way: Way,
    /// The gap that issuing a transfer leaves.
    launch: u64,
    frame: u64,
    fixed: [f64; 2],
    slack: f64,
    /// What times and memory are multiplied by since a run was measured.
    observed: [f64; 2],
    cores: Option<Sharing>,
    /// Figures of the placement that is bounded: what a layer's passes take, is done once and kept.
    scratch: [Vec<u64>; 3],
}

/// What carrying the residual stream to another stage takes.
struct Way {
    /// Bytes that a rank sends.
    bytes: u64,
    /// Seconds to another rank of the node, and of gathering what came in parts.
    near: f64,
    gathering: f64,
}

/// Parts of a step that are multiplied are rounded one by one, so a bound stays a little below.
pub const ROUNDED: f64 = 1.0 - 1e-9;

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
    let summaries: Vec<Summary> = plan
        .bodies
        .iter()
        .map(|body| actions::summary(&costs, body))
        .collect();
    let blocks = Blocks {
        plan: &plan,
        summaries: &summaries,
    };
    let order = &experiment.model.order;
    let samples = blocks.layers(order, experiment.model.kinds.len());
    let each = samples.iter();
    let (overhead, gpu) = (&hardware.overhead, hardware.kind == Kind::Gpu);
    Ok(Priced {
        head_share: cut.head_share(),
        passes: each.clone().map(|(_, passes)| taken(passes)).collect(),
        ends: ["embedding", "head"].map(|block| taken(&blocks.passes(block))),
        computing: blocks.computing(order),
        held: each
            .clone()
            .map(|(layer, _)| bytes(&costs, |bucket| is_of(&plan, *layer, bucket)))
            .collect(),
        held_ends: ["embedding.", "head."].map(|block| bytes(&costs, |one| is_at(block, one))),
        held_tied: bytes(&costs, is_tied),
        masters: plan.buckets.iter().any(|bucket| bucket.master.is_some()),
        update: each
            .map(|(layer, _)| update(&costs, |bucket| is_of(&plan, *layer, bucket)))
            .collect(),
        update_embedding: update(&costs, |bucket| is_at("embedding.", bucket)),
        replicas: Replicas::of(&costs, &samples),
        way: way(&costs, &Links::new(hardware, &experiment.cluster)),
        launch: costs.computing(hardware.launch.value),
        frame: if budget {
            0
        } else {
            memory::frame(&costs, "layer")
        },
        fixed: [overhead.context.value, overhead.communication.value],
        slack: if gpu {
            costs.engine().allocator_slack
        } else {
            0.0
        },
        observed: [hardware.time_factor(), hardware.memory_factor()],
        cores: actions::sharing(&costs),
        scratch: Default::default(),
        cut,
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
        engine: experiment.plan.engine.as_str().into(),
    }
}

/// The experiment on one stage, whatever it says of stages, and with sums in any order: one order only takes longer.
fn whole(experiment: &Experiment) -> Experiment {
    let mut experiment = experiment.clone();
    experiment.plan.stages = None;
    experiment.train.sums = Sums::Fast;
    experiment
}

/// How bodies name a kind of layers.
fn label(kind: usize) -> String {
    match kind {
        0 => "layer".to_owned(),
        kind => format!("layer_{kind}"),
    }
}

/// The bodies of a plan with their prices.
struct Blocks<'p> {
    plan: &'p Plan,
    summaries: &'p [Summary],
}

impl<'p> Blocks<'p> {
    /// Forward and backward of a block.
    fn passes(&self, label: &str) -> [(&'p Body, &'p Summary); 2] {
        [BodyKind::Forward, BodyKind::Backward].map(|kind| {
            let mut bodies = self.plan.bodies.iter().zip(self.summaries);
            let own = |body: &Body| body.kind == kind && body.name.split('.').next() == Some(label);
            bodies
                .find(|(body, _)| own(body))
                .expect("every block passes both ways")
        })
    }

    /// A layer of each kind with the bodies of its passes; a kind that no layer has stands for what counts nothing.
    fn layers(&self, order: &[usize], kinds: usize) -> Vec<(u32, [(&'p Body, &'p Summary); 2])> {
        let first = |kind: usize| order.iter().position(|&one| one == kind).unwrap_or(0);
        let layer = |kind: usize| (first(kind) as u32, self.passes(&label(order[first(kind)])));
        (0..kinds).map(layer).collect()
    }

    /// What of all passes of one micro-batch computes.
    fn computing(&self, order: &[usize]) -> u64 {
        let of = |label: &str| -> u64 {
            let passes = self.passes(label).into_iter();
            passes.map(|(_, summary)| summary.compute).sum()
        };
        let layers = order.iter().map(|&kind| of(&label(kind)));
        layers.sum::<u64>() + of("embedding") + of("head")
    }
}

/// Computing and communicating of forward and backward.
fn taken(passes: &[(&Body, &Summary); 2]) -> u64 {
    let both = passes.iter();
    both.map(|(_, summary)| summary.compute + summary.communication)
        .sum()
}

/// Whether a layer has a bucket.
fn is_of(plan: &Plan, layer: u32, bucket: &Bucket) -> bool {
    plan.has(layer, plan.tensors[bucket.m.0 as usize].lives)
}

/// What updating buckets takes where all of them is one rank's.
fn update(costs: &Costs<'_>, is_own: impl Fn(&Bucket) -> bool) -> u64 {
    let plan = costs.plan();
    let moments: Vec<TensorId> = plan
        .buckets
        .iter()
        .filter(|bucket| is_own(bucket))
        .map(|bucket| bucket.m)
        .collect();
    let bodies = plan
        .bodies
        .iter()
        .filter(|body| body.kind == BodyKind::Update);
    let code = bodies.flat_map(|body| &body.code);
    let updates = code.filter(|instr| instr.op.is_update());
    let own = updates.filter(|instr| instr.updates.iter().any(|id| moments.contains(id)));
    own.map(|instr| costs.instr(instr).ps).sum()
}

/// What buckets keep: weights, gradients, and what the optimizer keeps, in bytes.
fn bytes(costs: &Costs<'_>, is_own: impl Fn(&Bucket) -> bool) -> [u64; 3] {
    let mut sums = [0; 3];
    for bucket in costs.plan().buckets.iter().filter(|bucket| is_own(bucket)) {
        sums[0] += costs.size(bucket.weights);
        sums[1] += costs.size(bucket.gradients);
        let master = bucket.master.map_or(0, |id| costs.size(id));
        sums[2] += costs.size(bucket.m) + bucket.v.map_or(0, |id| costs.size(id)) + master;
    }
    sums
}

/// Whether a bucket is a block's own.
fn is_at(block: &str, bucket: &Bucket) -> bool {
    bucket.name.starts_with(block) && !is_tied(bucket)
}

/// Whether a bucket is the matrix that embedding and head share.
fn is_tied(bucket: &Bucket) -> bool {
    bucket.name.contains(".tied")
}

/// The way of what layers read.
fn way(costs: &Costs<'_>, links: &Links<'_>) -> Way {
    let plan = costs.plan();
    let body = plan.bodies.iter().find(|body| body.name == "layer.forward");
    let port = body.and_then(|body| body.ins.first());
    let (bytes, gathering) = port.map_or((0, 0.0), |port| costs.carried(port.tensor));
    Way {
        bytes,
        near: links.transfer(bytes, 0),
        gathering,
    }
}

impl Priced {
    /// The bounds of a placement of this key.
    pub fn bound(
        &mut self,
        experiment: &Experiment,
        hardware: &Hardware,
        placement: &Placement,
        outlines: &mut Outlines,
    ) -> Bound {
        let links = Links::new(hardware, &experiment.cluster);
        let outline = outlines.of(experiment, placement, self.head_share);
        let replicas = u64::from(placement.dp);
        let micro_steps = experiment.train.global_batch / (replicas * placement.micro_batch).max(1);
        let (step, bytes) = self.outlined(&links, placement, micro_steps, outline);
        let [context, communication] = self.fixed;
        let ranks = placement.dp * placement.tp * placement.pp;
        let fixed = context + if ranks > 1 { communication } else { 0.0 };
        let peak = libm::floor(fixed + bytes as f64 * (1.0 + self.slack)) as u64;
        let step = self.shared(&links, placement, micro_steps, step);
        let times = |figure: u64, factor: f64| libm::floor(figure as f64 * factor) as u64;
        let [time, memory] = self.observed;
        Bound {
            step: if time == 1.0 {
                step
            } else {
                times(step, time * ROUNDED)
            },
            peak: times(peak, memory.min(1.0)),
        }
    }

    /// Lets go of what only bounds need: what was found for each mesh.
    pub fn forget(&mut self) {
        self.replicas.forget();
    }

    /// Picoseconds of the step, bytes of live tensors.
    fn outlined(
        &mut self,
        links: &Links<'_>,
        placement: &Placement,
        micro_steps: u64,
        outline: &Outline,
    ) -> (u64, u64) {
        let masters = self.masters;
        let kept = |held: &[u64; 3]| kept(placement, masters, held);
        let slices = u64::from(placement.divides(1).max(1));
        let owed = self.replicas.owe(links, placement);
        let [embedding, head] = self.held_ends.each_ref().map(kept);
        let tied = kept(&self.held_tied);
        let [passes, once, held] = &mut self.scratch;
        passes.clear();
        passes.extend(
            self.passes
                .iter()
                .zip(&owed.inline)
                .map(|(own, inline)| own + inline),
        );
        once.clear();
        once.extend(
            self.update
                .iter()
                .zip(&owed.once)
                .map(|(own, once)| own / slices + once),
        );
        held.clear();
        held.extend(self.held.iter().map(kept));
        let shares = Shares {
            micro_steps: u32::try_from(micro_steps).unwrap_or(u32::MAX),
            passes,
            ends: self.ends,
            beside: &owed.beside,
            once,
            once_embedding: self.update_embedding / slices + owed.once_embedding,
            launch: self.launch,
            hops: self.way.hops(links, placement),
            kept: held,
            kept_ends: [
                embedding + tied,
                head + if placement.pp > 1 { tied } else { 0 },
            ],
            frame: self.frame,
        };
        (outline.step(&shares), outline.bytes(&shares))
    }

    /// All ranks of the machine's cores together do no more than the best point of contention allows.
    fn shared(
        &self,
        links: &Links<'_>,
        placement: &Placement,
        micro_steps: u64,
        alone: u64,
    ) -> u64 {
        let Some(sharing) = &self.cores else {
            return alone;
        };
        let replicas = u64::from(placement.dp) * u64::from(placement.tp);
        let work = u128::from(micro_steps * self.computing) * u128::from(replicas);
        let ranks = placement.dp * placement.tp * placement.pp;
        alone.max(sharing.least(work, ranks.div_ceil(links.ranks_per_node())))
    }
}

/// What is kept from step to step of weights, gradients and the optimizer's state.
fn kept(placement: &Placement, masters: bool, [weights, gradients, optimizer]: &[u64; 3]) -> u64 {
    let share = |bytes: u64, from: u32| bytes / u64::from(placement.divides(from).max(1));
    let weights = match masters && placement.divides(3) > 1 {
        true => 0,
        false => share(*weights, 3),
    };
    weights + share(*gradients, 2) + share(*optimizer, 1)
}

impl Way {
    /// The hops of a placement's pipeline.
    fn hops(&self, links: &Links<'_>, placement: &Placement) -> Hops {
        let (width, per_node) = (placement.dp * placement.tp, links.ranks_per_node());
        let far = |crossing| links.transfer(self.bytes, crossing);
        let time = |seconds: f64| picoseconds(seconds + self.gathering);
        let (stages_of_node, crossing) = match () {
            () if width.is_multiple_of(per_node) => (1, per_node),
            () if per_node.is_multiple_of(width.max(1)) => (per_node / width.max(1), width),
            () => {
                let inside = time(self.near.min(far(1)));
                return Hops {
                    inside,
                    across: inside,
                    stages_of_node: None,
                };
            }
        };
        Hops {
            inside: time(self.near),
            across: time(far(crossing)),
            stages_of_node: Some(stages_of_node.into()),
        }
    }
}
