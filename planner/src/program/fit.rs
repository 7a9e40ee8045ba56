//! Whether an experiment can be cut as a placement says, and the arithmetic where it cannot.

use pleach_dsl::experiment::{Experiment, Stages};

use super::header;
use crate::graph::beyond::{beyond, shared};
use crate::placement::Placement;

/// Why a placement has no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmitError {
    /// A dimension is not a multiple of the ranks that share it.
    #[error(
        "{size} {what} cannot be shared by {ranks} {axis} ranks: {size} / {ranks} is not whole"
    )]
    Indivisible {
        /// What is shared.
        what: &'static str,
        /// How much of it.
        size: u64,
        /// By how many.
        ranks: u64,
        /// The axis.
        axis: &'static str,
    },
    /// More stages than layers.
    #[error("{layers} layers cannot fill {stages} pipeline stages")]
    Stages {
        /// Layers of the model.
        layers: u64,
        /// Stages of the mesh, times their chunks.
        stages: u64,
    },
    /// Stages of equal size are wanted, or counts that do not fit.
    #[error("{layers} layers are not cut into {stages} stages by `{text}`")]
    Cut {
        /// Layers of the model.
        layers: u64,
        /// Stages of the mesh, times their chunks.
        stages: u64,
        /// What the spec says.
        text: String,
    },
    /// Interleaved stages take micro-batches in groups.
    #[error(
        "{micro_steps} micro-batches do not fall into groups of {stages}, one for each stage, which interleaved stages take"
    )]
    Groups {
        /// Micro-batches of a step on each replica.
        micro_steps: u64,
        /// Stages of the mesh.
        stages: u64,
    },
    /// The batch does not fall into whole micro-batches.
    #[error(
        "{batch} sequences cannot be dealt evenly to {replicas} replicas in micro-batches of {micro_batch}"
    )]
    Batch {
        /// Sequences of a step.
        batch: u64,
        /// Replicas.
        replicas: u64,
        /// Sequences of a micro-batch.
        micro_batch: u64,
    },
    /// Replicas do not stand in blocks of one size.
    #[error("{replicas} replicas do not stand in blocks of {shards}")]
    Blocks {
        /// Replicas.
        replicas: u32,
        /// Replicas of a block.
        shards: u32,
    },
    /// Even the way that keeps least keeps more than the budget of recomputation.
    #[error(
        "layers keep {least} bytes for backward at least, the budget of recomputation is {budget}"
    )]
    Budget {
        /// What is kept at least, in bytes.
        least: u64,
        /// The budget, in bytes.
        budget: u64,
    },
    /// Sums of lanes cannot be kept in one order.
    #[error("with `train.sums = reproducible`, {0}")]
    Lanes(String),
    /// Not in this version.
    #[error("{0} is not planned yet")]
    Unsupported(&'static str),
    /// No consistent set of layouts was found.
    #[error("block {block} has no consistent sharding over {tp} ranks")]
    NoSharding {
        /// The block.
        block: &'static str,
        /// Tensor-parallel ranks.
        tp: u32,
    },
}

/// Checks what must divide what.
pub fn check(experiment: &Experiment, placement: &Placement) -> Result<(), EmitError> {
    let model = &experiment.model;
    if let Some(first) = beyond(model).first() {
        return Err(EmitError::Unsupported(first.what));
    }
    let tp = u64::from(placement.tp);
    let shares = model.kinds.iter().flat_map(|kind| shared(model, kind));
    let shares = shares.chain([("vocabulary rows", model.vocab)]);
    let positions = placement
        .sequence_parallel
        .then_some(("positions", model.context));
    for (what, size) in shares.chain(positions) {
        if size % tp != 0 {
            return Err(EmitError::Indivisible {
                what,
                size,
                ranks: tp,
                axis: "tensor-parallel",
            });
        }
    }
    stages(experiment, placement, model.layers())?;
    let (batch, replicas, micro_batch) = (
        experiment.train.global_batch,
        u64::from(placement.dp),
        placement.micro_batch,
    );
    if micro_batch == 0 || batch % (replicas * micro_batch) != 0 {
        return Err(EmitError::Batch {
            batch,
            replicas,
            micro_batch,
        });
    }
    let (micro_steps, stages) = (batch / (replicas * micro_batch), u64::from(placement.pp));
    if placement.vpp > 1 && !micro_steps.is_multiple_of(stages) {
        return Err(EmitError::Groups {
            micro_steps,
            stages,
        });
    }
    let lanes = uncut_lanes(experiment, placement);
    if let Some(why) = lanes {
        return Err(EmitError::Lanes(why));
    }
    let (replicas, shards) = (placement.dp, placement.shards);
    if shards == 0 || !replicas.is_multiple_of(shards) {
        return Err(EmitError::Blocks { replicas, shards });
    }
    if placement.zero > 3 {
        return Err(EmitError::Unsupported("a ZeRO stage above 3"));
    }
    Ok(())
}

/// Why a placement cannot sum in lanes, where it is to.
fn uncut_lanes(experiment: &Experiment, placement: &Placement) -> Option<String> {
    if header::lanes(experiment.train.sums).is_some() && placement.divides(2) > 1 {
        let zero = placement.zero;
        return Some(format!(
            "ZeRO {zero} divides gradients before all are summed"
        ));
    }
    header::training(experiment, placement).uncut_lanes(placement.dp)
}

/// Checks that every chunk of every stage has a layer, and that what the spec says of stages adds up.
fn stages(experiment: &Experiment, placement: &Placement, layers: u64) -> Result<(), EmitError> {
    if placement.vpp != 1 && placement.pp == 1 {
        return Err(EmitError::Unsupported("several chunks of one stage"));
    }
    let stages = u64::from(placement.pp) * u64::from(placement.vpp);
    if layers < stages || stages == 0 {
        return Err(EmitError::Stages { layers, stages });
    }
    let text = match &experiment.plan.stages {
        Some(Stages::Even) if !layers.is_multiple_of(stages) => "even".to_owned(),
        Some(Stages::Layers(counts)) if !fills(counts, layers, stages) => format!("{counts:?}"),
        _ => return Ok(()),
    };
    Err(EmitError::Cut {
        layers,
        stages,
        text,
    })
}

/// Whether written counts are as many as the stages, none of them empty, and together all layers.
fn fills(counts: &[u64], layers: u64, stages: u64) -> bool {
    counts.len() as u64 == stages && !counts.contains(&0) && counts.iter().sum::<u64>() == layers
}
