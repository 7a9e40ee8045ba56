//! What replicas owe each other for a layer: its buckets and a mesh in, picoseconds of summing gradients and gathering weights out.
//!
//! The same collectives over the same ranks that the program has, around the same passes; what an engine does beyond them only takes longer.

use std::collections::BTreeMap;

use pleach_plan::{Axis, Body, BodyKind, Bucket, Group, GroupId, Mesh, Part, Plan, TensorId};

use crate::cost::links::Links;
use crate::cost::topology::Geometry;
use crate::cost::{Costs, picoseconds};
use crate::engine::Engine;
use crate::placement::Placement;
use crate::simulate::actions::Summary;

/// A bucket of one kind of layers, or of the embedding.
#[derive(Clone, Copy, Debug)]
struct Held {
    elements: u64,
    /// Bytes of an element's gradient and weight.
    gradient: u64,
    weight: u64,
    /// Whether forward and backward read its weights, so that ZeRO 3 gathers them.
    read: [bool; 2],
    /// Whether backward adds to its gradients, so that ZeRO 2 scatters them.
    added: bool,
}

/// A kind of layers.
#[derive(Clone, Debug, Default)]
struct Kind {
    held: Vec<Held>,
    /// How long the device waits for its host in forward and backward: what is gathered in line fills that first.
    waited: [u64; 2],
}

/// What is owed for a layer of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owed {
    /// Gathering and scattering for each micro-batch in line with the computation.
    pub inline: Vec<u64>,
    /// The same beside it.
    pub beside: Vec<u64>,
    /// What is summed and gathered once a step.
    pub once: Vec<u64>,
    /// The same for the embedding.
    pub once_embedding: u64,
}

/// What replicas share of a model, and what was found for each mesh.
pub struct Replicas {
    kinds: Vec<Kind>,
    embedding: Vec<Held>,
    tp: u32,
    engine: &'static Engine,
    widens: bool,
    known: BTreeMap<[u32; 4], Owed>,
}

impl Replicas {
    /// The replicas of a plan on one stage without ZeRO. `layers` has a layer of each kind with the bodies of its passes and their prices.
    pub fn of(costs: &Costs<'_>, layers: &[(u32, [(&Body, &Summary); 2])]) -> Self {
        let plan = costs.plan();
        let kind = |&(layer, passes): &(u32, [(&Body, &Summary); 2])| {
            let lives = |bucket: &&Bucket| plan.has(layer, plan.tensors[bucket.m.0 as usize].lives);
            let own = plan.buckets.iter().filter(lives);
            Kind {
                held: own
                    .map(|bucket| held(costs, bucket, passes.map(|(body, _)| body)))
                    .collect(),
                waited: passes.map(|(_, summary)| summary.waited),
            }
        };
        let embedding = plan.buckets.iter();
        let embedding = embedding
            .filter(|bucket| is_embedding(bucket))
            .map(|bucket| Held {
                read: [false; 2],
                added: false,
                ..sized(costs, bucket)
            });
        Replicas {
            kinds: layers.iter().map(kind).collect(),
            embedding: embedding.collect(),
            tp: plan.mesh.tp,
            engine: costs.engine(),
            widens: costs.widens(),
            known: BTreeMap::new(),
        }
    }

    /// Lets go of what was found.
    pub fn forget(&mut self) {
        self.known.clear();
    }

    /// What is owed on a placement's mesh.
    pub fn owe(&mut self, links: &Links<'_>, placement: &Placement) -> &Owed {
        let ranks = placement.dp * placement.tp * placement.pp;
        let apart = ranks > links.ranks_per_node();
        // Stages matter for where replicas sit only while they end inside of nodes.
        let stages = match (placement.dp * placement.tp).is_multiple_of(links.ranks_per_node()) {
            true => u32::from(apart),
            false => placement.pp,
        };
        let key = [placement.dp, placement.zero, placement.shards, stages];
        if !self.known.contains_key(&key) {
            let owed = self.owed(links, placement);
            self.known.insert(key, owed);
        }
        &self.known[&key]
    }

    fn owed(&self, links: &Links<'_>, placement: &Placement) -> Owed {
        let mesh = Mesh {
            dp: placement.dp,
            cp: 1,
            pp: placement.pp,
            tp: self.tp,
            shards: placement.blocks(),
        };
        let over = Over {
            links,
            engine: self.engine,
            widens: self.widens,
            zero: if placement.dp > 1 { placement.zero } else { 0 },
            slices: u64::from(placement.divides(1)),
            within: geometry(
                &mesh,
                mesh.shards.map(|_| Part::Within),
                links.ranks_per_node(),
            ),
            across: mesh
                .shards
                .map(|_| geometry(&mesh, Some(Part::Across), links.ranks_per_node())),
        };
        let passing = self.kinds.iter().map(|kind| over.passing(kind));
        let passing: Vec<[u64; 2]> = passing.collect();
        let beside = self.engine.prefetched_gathers > 0;
        let either = |inline: bool| {
            let spent = self.kinds.iter().zip(&passing).map(|(kind, passing)| {
                let of = |pass: usize| match (inline, beside) {
                    (true, false) => passing[pass].saturating_sub(kind.waited[pass]),
                    (false, true) => passing[pass],
                    _ => 0,
                };
                of(0) + of(1)
            });
            spent.collect()
        };
        let once = |held: &[Held]| match self.engine.overlapped_replicas {
            true => 0,
            false => held.iter().map(|held| over.once(held)).sum(),
        };
        Owed {
            inline: either(true),
            beside: either(false),
            once: self.kinds.iter().map(|kind| once(&kind.held)).collect(),
            once_embedding: once(&self.embedding),
        }
    }
}

/// Where replicas of a mesh sit, and what they do.
struct Over<'l> {
    links: &'l Links<'l>,
    engine: &'static Engine,
    widens: bool,
    zero: u32,
    slices: u64,
    within: Geometry,
    across: Option<Geometry>,
}

impl Over<'_> {
    fn time(&self, op: &str, bytes: u64, geometry: &Geometry) -> u64 {
        picoseconds(self.links.collective(op, bytes, geometry).0)
    }

    fn reduced(&self, op: &str, bytes: u64, geometry: &Geometry) -> u64 {
        let op = if self.engine.whole_reduction {
            "all_reduce"
        } else {
            op
        };
        let wide = if self.widens { 2 } else { 1 };
        self.time(op, wide * bytes, geometry)
    }

    fn elements(&self, held: &Held) -> u64 {
        held.elements.next_multiple_of(self.slices.max(1))
    }

    fn gather(&self, held: &Held) -> u64 {
        self.time(
            "all_gather",
            self.elements(held) * held.weight,
            &self.within,
        )
    }

    fn scatter(&self, held: &Held) -> u64 {
        let bytes = self.elements(held) * held.gradient;
        self.reduced("reduce_scatter", bytes, &self.within)
    }

    /// Forward and backward of one micro-batch.
    fn passing(&self, kind: &Kind) -> [u64; 2] {
        let gathers = |pass: usize| -> u64 {
            let read = kind
                .held
                .iter()
                .filter(|held| self.zero >= 3 && held.read[pass]);
            read.map(|held| self.gather(held)).sum()
        };
        let scattered = kind.held.iter().filter(|held| self.zero >= 2 && held.added);
        let scatters: u64 = scattered.map(|held| self.scatter(held)).sum();
        [gathers(0), gathers(1) + scatters]
    }

    /// What is done once a step.
    fn once(&self, held: &Held) -> u64 {
        let blocks = self.across.as_ref().map_or(0, |across| {
            let slice = self.elements(held) / self.slices.max(1) * held.gradient;
            self.reduced("all_reduce", slice, across)
        });
        let own = match self.zero {
            _ if self.within.size <= 1 && self.across.is_none() => 0,
            0 => self.reduced("all_reduce", held.elements * held.gradient, &self.within),
            1 => self.scatter(held) + self.gather(held),
            2 => self.gather(held),
            _ => 0,
        };
        own + blocks
    }
}

fn is_embedding(bucket: &Bucket) -> bool {
    bucket.name.starts_with("embedding.") && !bucket.name.contains(".tied")
}

fn sized(costs: &Costs<'_>, bucket: &Bucket) -> Held {
    let each = |id: TensorId| {
        let elements = costs.plan().tensors[id.0 as usize].elements();
        costs.size(id) / elements.max(1)
    };
    Held {
        elements: bucket.length,
        gradient: each(bucket.gradients),
        weight: each(bucket.weights),
        read: [false; 2],
        added: false,
    }
}

fn held(costs: &Costs<'_>, bucket: &Bucket, passes: [&Body; 2]) -> Held {
    let uses = |body: &Body, storage: TensorId| {
        let ids = body
            .code
            .iter()
            .flat_map(|instr| instr.ins.iter().chain(&instr.updates));
        ids.into_iter().any(|&id| base(costs.plan(), id) == storage)
    };
    Held {
        read: passes.map(|body| uses(body, bucket.weights)),
        added: passes
            .iter()
            .any(|body| body.kind == BodyKind::Backward && uses(body, bucket.gradients)),
        ..sized(costs, bucket)
    }
}

/// The tensor that owns a tensor's storage.
fn base(plan: &Plan, id: TensorId) -> TensorId {
    plan.tensors[id.0 as usize]
        .view
        .map_or(id, |view| view.base)
}

/// Where the replicas of a mesh sit, or those of a part of them.
fn geometry(mesh: &Mesh, part: Option<Part>, ranks_per_node: u32) -> Geometry {
    let replicas = Group {
        id: GroupId(0),
        name: "dp".to_owned(),
        axes: vec![Axis::Dp],
        ends: false,
        part,
    };
    Geometry::of(mesh, &replicas, ranks_per_node)
}
