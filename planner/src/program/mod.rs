//! Emits the program of a placement: bodies, buckets, roles and slots, as one [`Plan`].
//!
//! In comes an experiment and a placement, out comes its plan or the reason why there is none. The model graph is differentiated
//! and sharded ([`crate::shard`]), turned into bodies with lifetimes ([`bodies`]) that gather and scatter what is divided ([`gathering`]),
//! given storage ([`buckets`]) and an optimizer ([`step`]), and laid out in time ([`schedule`], [`passes`]).

mod bodies;
mod buckets;
mod budget;
mod fit;
mod gathering;
mod header;
pub mod passes;
mod recompute;
mod schedule;
pub mod stages;
mod step;
mod tensors;

use std::collections::BTreeMap;

use pleach_dsl::experiment::Experiment;
use pleach_plan::json::{SCHEMA, placement_hash};
use pleach_plan::{
    Axis, Body, BodyId, Bucket, Dtype, Group, GroupId, Hashes, Mesh, Parameter, Part, Plan,
    Recompute, TensorId, tally,
};

use crate::differentiate::differentiate;
use crate::engine::{self, Selective};
use crate::graph::transformer::{self, Loss};
use crate::graph::{Block, ModelGraph};
use crate::placement::Placement;
use crate::shard::strategy::Form;
use crate::shard::{Rules, Sharded, shard_block};
use recompute::Again;
use step::Named;
use tensors::Table;

pub use fit::EmitError;
pub use header::{data, lanes};

/// A block, sharded, with the storage of its parameters.
struct Piece<'b> {
    block: &'b Block,
    sharded: Sharded,
    buckets: Vec<usize>,
}

/// What the parts of a plan are gathered in.
struct Emitter<'e> {
    experiment: &'e Experiment,
    placement: &'e Placement,
    mesh: Mesh,
    compute: Dtype,
    accumulate: Dtype,
    groups: Vec<Group>,
    table: Table,
    parameters: Vec<Parameter>,
    buckets: Vec<Bucket>,
    /// For each bucket: its block, whether its weights decay, and how its gradients relate over tensor-parallel ranks.
    traits: Vec<buckets::Traits>,
    /// For each kind of layers the one whose parameters it has.
    stores: Vec<usize>,
    /// The matrix that embedding and head share.
    tied: Option<buckets::Tied>,
    bodies: Vec<Body>,
    report: TensorId,
    factor: TensorId,
}

/// The model's training graph with its layouts: all that a plan does not owe to the mesh of replicas and stages. Placements of
/// equal `tp`, `sequence_parallel`, `micro_batch` and `recompute` share it.
pub struct Cut {
    graph: ModelGraph,
    laid: Laid,
    /// For each kind of layers the ways to run some of it again, where a budget chooses.
    ways: Vec<Vec<budget::Way>>,
}

/// How the blocks of a model lie.
#[derive(Clone)]
struct Laid {
    /// Embedding, layer, head.
    blocks: [Sharded; 3],
    /// Layers of other kinds than the first.
    others: Vec<Sharded>,
}

impl Cut {
    /// The head's work in thousandths of a layer's, by the elements of their matrices.
    pub fn head_share(&self) -> u64 {
        let products = |block: &Block| {
            let values = block.values.iter();
            let matrices = values.filter(|value| value.is_parameter() && value.dims.len() > 1);
            matrices.map(|value| value.elements()).sum::<u64>()
        };
        products(&self.graph.head) * 1000 / products(&self.graph.layer).max(1)
    }
}

/// Layouts that were found. They do not depend on the micro-batch: they are sought for one sequence, so that all placements that differ
/// in it alone are laid out alike, and the search for them is made once.
#[derive(Default)]
pub struct Layouts(BTreeMap<(u32, bool, bool), Laid>);

impl Layouts {
    /// The layouts of a placement's shape.
    fn of(&mut self, experiment: &Experiment, placement: &Placement) -> Result<Laid, EmitError> {
        let again = placement.recompute == Recompute::Full;
        let shape = (placement.tp, placement.sequence_parallel, again);
        if let Some(known) = self.0.get(&shape) {
            return Ok(known.clone());
        }
        let found = sharded(&training_graph(experiment, 1), placement)?;
        self.0.insert(shape, found.clone());
        Ok(found)
    }
}

/// The model's graph and its backward, for so many sequences at once.
fn training_graph(experiment: &Experiment, micro_batch: u64) -> ModelGraph {
    let loss = Loss::of(experiment);
    differentiate(transformer::lower(&experiment.model, micro_batch, loss))
}

fn sharded(graph: &ModelGraph, placement: &Placement) -> Result<Laid, EmitError> {
    let shard = |block: &Block, recompute: bool, tied: Option<Form>| {
        let rules = Rules {
            tp: u64::from(placement.tp),
            sequence_parallel: placement.sequence_parallel && placement.tp > 1,
            recompute,
            tied,
        };
        let (name, tp) = (block.name, placement.tp);
        shard_block(block, rules).ok_or(EmitError::NoSharding { block: name, tp })
    };
    let embedding = shard(&graph.embedding, false, None)?;
    let table = graph.embedding.tied;
    let tied = table.and_then(|table| embedding.statics.get(&table).copied());
    let layer = |block: &Block| shard(block, placement.recompute == Recompute::Full, None);
    let first = layer(&graph.layer)?;
    let others: Vec<Sharded> = graph.others.iter().map(layer).collect::<Result<_, _>>()?;
    let all: Vec<&Sharded> = [&first].into_iter().chain(&others).collect();
    let lies = |kind: usize| all[kind].named(graph.kind(kind));
    let mut kinds = graph.stores.iter().enumerate();
    if kinds.any(|(kind, &store)| kind != store && lies(kind) != lies(store)) {
        let (block, tp) = (graph.layer.name, placement.tp);
        return Err(EmitError::NoSharding { block, tp });
    }
    Ok(Laid {
        blocks: [embedding, first, shard(&graph.head, false, tied)?],
        others,
    })
}

/// Lowers, differentiates and shards.
///
/// # Errors
/// The experiment cannot be cut that way.
pub fn cut(experiment: &Experiment, placement: &Placement) -> Result<Cut, EmitError> {
    cut_as(experiment, placement, &mut Layouts::default())
}

/// The same with layouts that are known already; those that are found on the way are left for the next cut.
///
/// # Errors
/// The experiment cannot be cut that way.
pub fn cut_as(
    experiment: &Experiment,
    placement: &Placement,
    layouts: &mut Layouts,
) -> Result<Cut, EmitError> {
    fit::check(experiment, placement)?;
    let graph = training_graph(experiment, placement.micro_batch);
    let laid = layouts.of(experiment, placement)?;
    let kinds = [&graph.layer].into_iter().chain(&graph.others);
    let kinds = kinds.zip([&laid.blocks[1]].into_iter().chain(&laid.others));
    let kinds = kinds.filter(|_| budget::applies(experiment, placement));
    let ways = kinds.map(|(block, sharded)| budget::ways(experiment, placement, block, sharded));
    Ok(Cut {
        ways: ways.collect(),
        graph,
        laid,
    })
}

/// The plan of a placement, as it stands: not yet verified, priced or compared.
///
/// # Errors
/// The experiment cannot be cut that way.
pub fn emit(experiment: &Experiment, placement: &Placement) -> Result<Plan, EmitError> {
    let mut plan = emit_cut(experiment, placement, &cut(experiment, placement)?)?;
    seal(&mut plan);
    Ok(plan)
}

/// Gives a plan the hash of its content.
pub fn seal(plan: &mut Plan) {
    plan.hashes.placement = placement_hash(plan);
}

/// The same from what was made by [`cut`] for a placement of equal shapes, not yet sealed with its hash.
///
/// # Errors
/// The experiment cannot be cut that way.
pub fn emit_cut(
    experiment: &Experiment,
    placement: &Placement,
    cut: &Cut,
) -> Result<Plan, EmitError> {
    fit::check(experiment, placement)?;
    let mut emitter = Emitter::new(experiment, placement);
    let [embedding, layer, head] = &cut.laid.blocks;
    let pieces = [
        emitter.piece(&cut.graph.embedding, embedding),
        emitter.piece(&cut.graph.layer, layer),
        emitter.piece(&cut.graph.head, head),
    ];
    let others = cut.graph.others.iter().zip(&cut.laid.others);
    let others: Vec<Piece<'_>> = others
        .map(|(block, sharded)| emitter.piece(block, sharded))
        .collect();
    let again = emitter.again(cut)?;
    let bodies = emitter.all_bodies(&pieces, &others, &again, &cut.graph);
    let roles = schedule::roles(&emitter, &pieces, &others, &bodies, cut.head_share());
    Ok(emitter.finish(roles, &cut.graph))
}

/// The bodies of parameters that more than one block reads.
struct TiedBodies {
    begin: BodyId,
    folds: Vec<BodyId>,
    reduce: BodyId,
    update: BodyId,
}

/// The bodies of one block.
struct BlockBodies {
    begin: BodyId,
    forward: BodyId,
    backward: BodyId,
    /// What joins lanes, by how many sums it joins.
    folds: Vec<BodyId>,
    reduce: BodyId,
    update: BodyId,
}

/// All bodies, by what they are for.
struct Bodies {
    /// Embedding, layer, head.
    blocks: [BlockBodies; 3],
    /// Forward and backward of each kind of layer.
    kinds: Vec<[BodyId; 2]>,
    /// What is done once a step for kinds of layers with parameters of their own, but for the first.
    stored: BTreeMap<usize, BlockBodies>,
    /// For each layer its kind.
    order: Vec<usize>,
    /// For each kind the one whose parameters it has.
    stores: Vec<usize>,
    tied: Option<TiedBodies>,
    begin: BodyId,
    reduce: BodyId,
}

impl<'e> Emitter<'e> {
    fn new(experiment: &'e Experiment, placement: &'e Placement) -> Self {
        let mesh = Mesh {
            dp: placement.dp,
            cp: 1,
            pp: placement.pp,
            tp: placement.tp,
            shards: placement.blocks(),
        };
        let (compute, accumulate) = header::dtypes(experiment.train.precision);
        let mut table = Table::new(placement.tp);
        let (figures, kept) = match lanes(experiment.train.sums) {
            None => (2, accumulate),
            Some(_) => (2 * tally::DIGITS as u64, Dtype::F64),
        };
        let report = table.scalar("report", figures, kept);
        let factor = table.scalar("clip_factor", 1, accumulate);
        Emitter {
            experiment,
            placement,
            mesh,
            compute,
            accumulate,
            groups: groups(&mesh, experiment.model.tied),
            table,
            parameters: Vec::new(),
            buckets: Vec::new(),
            traits: Vec::new(),
            stores: transformer::stores(&experiment.model),
            tied: None,
            bodies: Vec::new(),
            report,
            factor,
        }
    }

    fn piece<'b>(&mut self, block: &'b Block, sharded: &Sharded) -> Piece<'b> {
        let buckets = self.store(block, sharded);
        Piece {
            block,
            sharded: sharded.clone(),
            buckets,
        }
    }

    fn block_bodies(&mut self, piece: &Piece<'_>, again: &Again) -> BlockBodies {
        let label = piece.block.label();
        let of = Named::new(&label, piece.block.name);
        let [forward, backward] = self.forward_backward(piece, again);
        BlockBodies {
            begin: self.begin(of, &piece.buckets),
            forward,
            backward,
            folds: self.folds(of, &piece.buckets),
            reduce: self.reduce(of, &piece.buckets),
            update: self.update(of, &piece.buckets),
        }
    }

    fn all_bodies(
        &mut self,
        pieces: &[Piece<'_>; 3],
        others: &[Piece<'_>],
        again: &[Again],
        graph: &ModelGraph,
    ) -> Bodies {
        let blocks = pieces.each_ref().map(|piece| {
            let layer = piece.block.name == "layer";
            let again = if layer { &again[0] } else { &Again::Nothing };
            self.block_bodies(piece, again)
        });
        let first = &blocks[1];
        let mut kinds = vec![[first.forward, first.backward]];
        let mut stored = BTreeMap::new();
        for (piece, again) in others.iter().zip(&again[1..]) {
            if piece.buckets.is_empty() {
                kinds.push(self.forward_backward(piece, again));
                continue;
            }
            let bodies = self.block_bodies(piece, again);
            kinds.push([bodies.forward, bodies.backward]);
            stored.insert(piece.block.kind, bodies);
        }
        let shared = self.tied.as_ref().map(|tied| [tied.bucket]);
        let tied = shared.map(|buckets| TiedBodies {
            begin: self.begin(Named::plain("tied"), &buckets),
            folds: self.folds(Named::plain("tied"), &buckets),
            reduce: self.reduce(Named::plain("tied"), &buckets),
            update: self.update(Named::plain("tied"), &buckets),
        });
        Bodies {
            blocks,
            kinds,
            stored,
            order: graph.order.clone(),
            stores: graph.stores.clone(),
            tied,
            begin: self.step_begin(),
            reduce: self.step_reduce(),
        }
    }

    /// What the placement computes again in each kind of layers; what an engine's kernels do inside of themselves is not in the program.
    fn again(&self, cut: &Cut) -> Result<Vec<Again>, EmitError> {
        if budget::applies(self.experiment, self.placement) {
            let layers = (&cut.graph.order[..], cut.head_share());
            return budget::chosen(self.experiment, self.placement, &cut.ways, layers);
        }
        let kinds = cut.graph.others.len() + 1;
        Ok(vec![self.alike(); kinds])
    }

    /// The same of all layers.
    fn alike(&self) -> Again {
        let selective = engine::find(&self.placement.engine).map(|engine| engine.selective);
        match (self.placement.recompute, selective) {
            (Recompute::Full, _) => Again::Everything,
            (Recompute::Selective, Some(Selective::CheapOperations)) => Again::Cheap,
            (Recompute::Selective, Some(Selective::AlternateProducts)) => Again::Alternate,
            (Recompute::None | Recompute::Selective, _) => Again::Nothing,
        }
    }

    fn group(&self, name: &str) -> GroupId {
        let found = self.groups.iter().find(|group| group.name == name);
        found
            .expect("collectives are emitted only over axes of more than one rank")
            .id
    }

    fn body(&mut self, make: impl FnOnce(BodyId) -> Body) -> BodyId {
        let id = BodyId(u32::try_from(self.bodies.len()).expect("a plan has few bodies"));
        self.bodies.push(make(id));
        id
    }

    fn finish(self, roles: Vec<pleach_plan::Role>, graph: &ModelGraph) -> Plan {
        let stored = graph.stored().into_iter();
        let (experiment, placement) = (self.experiment, self.placement);
        Plan {
            schema: SCHEMA,
            experiment: experiment.name.clone(),
            hashes: Hashes {
                experiment: experiment.hash.clone(),
                placement: String::new(),
            },
            engine: placement.engine.to_string(),
            mesh: self.mesh,
            zero: if placement.dp > 1 {
                placement.zero
            } else {
                placement.zero.min(1)
            },
            sequence_parallel: placement.sequence_parallel && placement.tp > 1,
            recompute: placement.recompute,
            groups: self.groups,
            dims: header::dims(experiment, placement),
            tensors: self.table.tensors,
            parameters: self.parameters,
            buckets: self.buckets,
            bodies: self.bodies,
            kinds: stored.map(|kind| kind as u32).collect(),
            roles,
            report: self.report,
            training: header::training(experiment, placement),
            data: data(experiment),
            prediction: None,
            then: Vec::new(),
        }
    }
}

/// Groups over axes that have more than one rank.
fn groups(mesh: &Mesh, tied: bool) -> Vec<Group> {
    let wanted = [
        ("tp", vec![Axis::Tp], None),
        ("dp", vec![Axis::Dp], None),
        ("world", vec![Axis::Dp, Axis::Pp, Axis::Tp], None),
        ("embedding", vec![Axis::Pp], None),
        ("shards", vec![Axis::Dp], Some(Part::Within)),
        ("blocks", vec![Axis::Dp], Some(Part::Across)),
    ];
    let real = wanted.into_iter().filter(|(name, axes, part)| {
        (tied || *name != "embedding")
            && (*name == "dp") <= mesh.shards.is_none()
            && part.is_some() <= mesh.shards.is_some()
            && axes.iter().any(|&axis| mesh.size(axis) > 1)
    });
    real.zip(0..)
        .map(|((name, axes, part), id)| Group {
            id: GroupId(id),
            ends: name == "embedding",
            name: name.to_owned(),
            axes,
            part,
        })
        .collect()
}
