//! Lower bounds: what a placement takes at least, in time and memory, without emitting its plan.
//!
//! A layer's bodies are the same for every mesh that shares a [`Key`], so they are priced once per key, on a plan of one stage and
//! one micro-batch. A bound leaves out what depends on the mesh (transfers, collectives between replicas, the update, waiting
//! inside a stage), and takes the split of layers that would be best; so the simulation can never be below it.

use pleach_dsl::experiment::Experiment;
use pleach_plan::hardware::{Hardware, Kind};
use pleach_plan::{BodyKind, Plan, Recompute};

use crate::cost::Costs;
use crate::memory;
use crate::placement::Placement;
use crate::program::{self, Cut};
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
    layers: u64,
    layer: u64,
    embedding: u64,
    head: u64,
    computing: u64,
    weights: u64,
    optimizer: u64,
    frame: u64,
    fixed: u64,
    slack: f64,
    cores: Option<Sharing>,
}

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
pub fn price(experiment: &Experiment, hardware: &Hardware, key: Key) -> Result<Priced, String> {
    let batch = experiment.train.global_batch;
    let sample = Placement {
        tp: key.tp,
        pp: 1,
        dp: u32::try_from(batch / key.micro_batch).unwrap_or(u32::MAX),
        zero: 0,
        sequence_parallel: key.sequence_parallel,
        micro_batch: key.micro_batch,
        recompute: key.recompute,
        engine: experiment.plan.engine.clone(),
    };
    let text = |error: program::EmitError| error.to_string();
    let cut = program::cut(experiment, &sample).map_err(text)?;
    let plan = program::emit_cut(experiment, &sample, &cut).map_err(text)?;
    let costs = Costs::new(&plan, hardware, &experiment.cluster);
    let time = |block: &str| {
        let [compute, communication] = times(&costs, &plan, block);
        compute + communication
    };
    let computing = |block: &str| times(&costs, &plan, block)[0];
    let [weights, optimizer] = statics(&plan);
    let cores = actions::sharing(&costs);
    let frame = memory::frame(&costs, "layer");
    let slack = if hardware.kind == Kind::Gpu {
        costs.engine().allocator_slack
    } else {
        0.0
    };
    Ok(Priced {
        cut,
        layers: experiment.model.layers(),
        layer: time("layer"),
        embedding: time("embedding"),
        head: time("head"),
        computing: experiment.model.layers() * computing("layer")
            + computing("embedding")
            + computing("head"),
        weights,
        optimizer,
        frame,
        fixed: libm::floor(hardware.overhead.context.value) as u64,
        slack,
        cores,
    })
}

/// Computing and communicating of one block's forward and backward for one micro-batch.
fn times(costs: &Costs<'_>, plan: &Plan, block: &str) -> [u64; 2] {
    let steps =
        |body: &&pleach_plan::Body| matches!(body.kind, BodyKind::Forward | BodyKind::Backward);
    let bodies = plan
        .bodies
        .iter()
        .filter(|body| body.block == block)
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

/// Bytes that each layer keeps: weights and gradients, and what the optimizer keeps.
fn statics(plan: &Plan) -> [u64; 2] {
    let layered = |id: pleach_plan::TensorId| {
        let tensor = &plan.tensors[id.0 as usize];
        if tensor.lives == pleach_plan::Lives::Layered {
            tensor.bytes()
        } else {
            0
        }
    };
    let mut bytes = [0; 2];
    for bucket in &plan.buckets {
        bytes[0] += layered(bucket.weights) + layered(bucket.gradients);
        bytes[1] += layered(bucket.m) + layered(bucket.v) + bucket.master.map_or(0, layered);
    }
    bytes
}

impl Priced {
    /// The bounds of a placement of this key.
    pub fn bound(&self, experiment: &Experiment, placement: &Placement) -> Bound {
        let replicas = u64::from(placement.dp);
        let micro_steps = experiment.train.global_batch / (replicas * placement.micro_batch).max(1);
        Bound {
            step: self.step(placement, micro_steps),
            peak: self.peak(placement, micro_steps),
        }
    }

    /// The fullest stage works through all micro-batches; the first one also passes all stages and returns, and the last stage
    /// has the head and a layer for each of the others.
    fn step(&self, placement: &Placement, micro_steps: u64) -> u64 {
        let stages = u64::from(placement.pp);
        let whole = self.layers * self.layer + self.embedding + self.head;
        let fullest = (self.layers.div_ceil(stages) * self.layer).max(whole / stages);
        let last = whole + (micro_steps - 1) * (self.layer + self.head);
        let alone = (micro_steps * fullest).max(last);
        let Some(sharing) = &self.cores else {
            return alone;
        };
        // All ranks of the machine's cores together do no more than the best point of contention allows.
        let ranks = u64::from(placement.dp) * u64::from(placement.tp);
        let work = u128::from(micro_steps * self.computing) * u128::from(ranks);
        alone.max(sharing.least(work))
    }

    /// However the layers are split, some stage holds at least what an even filling gives each.
    fn peak(&self, placement: &Placement, micro_steps: u64) -> u64 {
        let sharers = if placement.zero >= 1 {
            u64::from(placement.dp)
        } else {
            1
        };
        let kept = self.weights + self.optimizer / sharers;
        let stages = u64::from(placement.pp);
        let in_flight = |stage: u64| (stages - stage).min(micro_steps).max(1);
        let inverse: f64 = (0..stages)
            .map(|stage| 1.0 / (kept + in_flight(stage) * self.frame).max(1) as f64)
            .sum();
        let filled = self.layers as f64 / inverse;
        self.fixed + libm::floor(filled * (1.0 + self.slack)) as u64
    }
}
