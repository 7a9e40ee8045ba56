//! What a cut of the layers owes to its bounds: spans of layers in, for each stage that can decide a few counts out.
//!
//! Counts of layers by kind do not depend on what a layer takes, so all placements of as many stages and chunks share an outline, whatever
//! their micro-batch or tensor-parallel ranks, and the bound of each is a few products. A stage that another one outdoes in every count
//! decides nothing and is left out.

use std::collections::BTreeMap;

use pleach_dsl::experiment::Experiment;

use crate::placement::Placement;
use crate::program::passes::Pipeline;
use crate::program::stages;

/// One stage, in counts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stage {
    /// Where it stands; the number of micro-batches is the placement's.
    at: Pipeline,
    /// Its layers of each kind.
    own: Vec<u64>,
    /// Layers of each kind that a micro-batch passes before it gets here.
    ahead: Vec<u64>,
    /// Whether it has the embedding, and the head.
    ends: [u64; 2],
    /// Transfers that it issues for each micro-batch.
    transfers: u64,
    /// Layers of each of its chunks.
    chunks: Vec<u64>,
}

/// The stages that can decide a bound.
#[derive(Clone, Debug)]
pub struct Outline {
    time: Vec<Stage>,
    memory: Vec<Stage>,
    /// Layers of each kind: all of them, those of the first stage, and those before each stage.
    all: Vec<u64>,
    first: Vec<u64>,
    ahead: Vec<Vec<u64>>,
    stages: u32,
    chunks: u32,
}

/// The outlines of a search, by stages and chunks.
#[derive(Debug, Default)]
pub struct Outlines(BTreeMap<(u32, u32), Outline>);

impl Outlines {
    /// The outline of a placement; `head` is the head's work in thousandths of a layer's.
    pub fn of(&mut self, experiment: &Experiment, placement: &Placement, head: u64) -> &Outline {
        let cut = (placement.pp, placement.vpp);
        self.0.entry(cut).or_insert_with(|| {
            let spans = stages::spans(experiment, placement, head);
            let model = &experiment.model;
            Outline::of(&spans, cut, (&model.order, model.kinds.len()))
        })
    }
}

/// The way of the residual stream between stages: picoseconds at least.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hops {
    /// Within a node.
    pub inside: u64,
    /// Between nodes.
    pub across: u64,
    /// How many stages end before a node does; none where that is not the same everywhere.
    pub stages_of_node: Option<u64>,
}

impl Hops {
    /// From the first stage to another one.
    fn to(&self, stage: u64) -> u64 {
        let across = self
            .stages_of_node
            .map_or(0, |stages| stage / stages.max(1));
        across * self.across + (stage - across) * self.inside
    }
}

/// What a placement adds to its outline: times in picoseconds, memory in bytes, by kind of layers where there are several.
#[derive(Clone, Copy, Debug)]
pub struct Shares<'s> {
    /// Micro-batches of a step.
    pub micro_steps: u32,
    /// Forward and backward of a layer, and of embedding and head.
    pub passes: &'s [u64],
    /// The same of embedding and head.
    pub ends: [u64; 2],
    /// What runs beside a layer's passes.
    pub beside: &'s [u64],
    /// What is done for a layer once a step, behind the last backward.
    pub once: &'s [u64],
    /// The same for the embedding.
    pub once_embedding: u64,
    /// The gap of a transfer.
    pub launch: u64,
    /// Transfers.
    pub hops: Hops,
    /// What a layer keeps from step to step.
    pub kept: &'s [u64],
    /// The same of embedding and head.
    pub kept_ends: [u64; 2],
    /// What forward leaves of a layer.
    pub frame: u64,
}

impl Outline {
    /// The outline of a cut: first and last layer of each chunk, in the order in which the pipeline passes them; the kind of each layer, and
    /// how many kinds there are.
    fn of(
        spans: &[[u32; 2]],
        (stages, chunks): (u32, u32),
        (order, kinds): (&[usize], usize),
    ) -> Self {
        let all = all(spans, (stages, chunks), (order, kinds));
        Outline {
            time: kept(&all, Stage::outlasts),
            memory: kept(&all, Stage::outgrows),
            all: counts(order, kinds),
            first: all.first().map_or(Vec::new(), |stage| stage.own.clone()),
            ahead: all.into_iter().map(|stage| stage.ahead).collect(),
            stages,
            chunks,
        }
    }

    /// Picoseconds of a step, at least.
    pub fn step(&self, shares: &Shares<'_>) -> u64 {
        let steps = self.time.iter().map(|stage| stage.step(shares));
        let passes = steps.max().unwrap_or(0).max(self.rounds(shares));
        passes + products(&self.first, shares.once) + shares.once_embedding
    }

    /// Bytes of the fullest stage, at least.
    pub fn bytes(&self, shares: &Shares<'_>) -> u64 {
        let bytes = self.memory.iter().map(|stage| stage.bytes(shares));
        bytes.max().unwrap_or(0)
    }

    /// A micro-batch that has come back to the first stage lets the one in that is as many behind it as there are stages: so many go all the
    /// way one after the other. Those that are left turn at a later stage in the same manner.
    fn rounds(&self, shares: &Shares<'_>) -> u64 {
        let (stages, micro_steps) = (u64::from(self.stages), u64::from(shares.micro_steps));
        if self.chunks > 1 || stages < 2 || micro_steps == 0 {
            return 0;
        }
        let [embedding, head] = shares.ends;
        let end = shares.hops.to(stages - 1);
        let layers = products(&self.all, shares.passes);
        let whole = layers + embedding + head + 2 * end;
        let (rounds, rest) = ((micro_steps - 1) / stages, (micro_steps - 1) % stages);
        let rest = if rest == 0 {
            0
        } else {
            let from = stages - rest;
            let before = products(&self.ahead[from as usize], shares.passes);
            layers - before + head + 2 * (end - shares.hops.to(from))
        };
        (rounds + 1) * whole + rest
    }
}

/// The sum of counts, each times its figure.
fn products(counts: &[u64], figures: &[u64]) -> u64 {
    counts
        .iter()
        .zip(figures)
        .map(|(one, other)| one * other)
        .sum()
}

/// Layers of each kind.
fn counts(order: &[usize], kinds: usize) -> Vec<u64> {
    let mut counts = vec![0; kinds];
    order.iter().for_each(|&kind| counts[kind] += 1);
    counts
}

/// Every stage of a cut.
fn all(
    spans: &[[u32; 2]],
    (stages, chunks): (u32, u32),
    (order, kinds): (&[usize], usize),
) -> Vec<Stage> {
    let stage = |stage: u32| {
        let own = || spans.iter().skip(stage as usize).step_by(stages as usize);
        let at = Pipeline {
            stage,
            stages,
            chunks,
            micro_steps: 1,
        };
        let first = own().next().map_or(0, |&[first, _]| first as usize);
        let mut layers = vec![0; kinds];
        for &[first, last] in own() {
            let kinds = &order[first as usize..=last as usize];
            kinds.iter().for_each(|&kind| layers[kind] += 1);
        }
        Stage {
            at,
            own: layers,
            ahead: counts(&order[..first], kinds),
            ends: [stage == 0, stage + 1 == stages].map(u64::from),
            transfers: at.transfers(),
            chunks: own()
                .map(|&[first, last]| u64::from(last - first) + 1)
                .collect(),
        }
    };
    (0..stages).map(stage).collect()
}

/// The stages that no other one outdoes.
fn kept(all: &[Stage], outdoes: fn(&Stage, &Stage) -> bool) -> Vec<Stage> {
    let mut kept: Vec<Stage> = Vec::new();
    for stage in all {
        if kept.iter().any(|other| outdoes(other, stage)) {
            continue;
        }
        kept.retain(|other| !outdoes(stage, other));
        kept.push(stage.clone());
    }
    kept
}

/// Whether no figure is below its neighbour in another list.
fn covers(own: &[u64], others: &[u64]) -> bool {
    own.iter().zip(others).all(|(own, other)| own >= other)
}

impl Stage {
    /// Whether its step is as long as another one's or longer, whatever the placement adds.
    fn outlasts(&self, other: &Stage) -> bool {
        self.at.stage >= other.at.stage
            && covers(&self.own, &other.own)
            && covers(&self.ahead, &other.ahead)
            && covers(&self.ends, &other.ends)
            && self.transfers >= other.transfers
    }

    /// Whether it holds as much as another one or more: an earlier stage has more micro-batches in flight.
    fn outgrows(&self, other: &Stage) -> bool {
        self.at.stage <= other.at.stage
            && covers(&self.own, &other.own)
            && covers(&self.chunks, &other.chunks)
            && covers(&self.ends, &other.ends)
    }

    /// It works through all micro-batches; before its first forward and after its last backward the layers before it have theirs.
    fn step(&self, shares: &Shares<'_>) -> u64 {
        let micro_steps = u64::from(shares.micro_steps);
        let own = products(&self.own, shares.passes) + products(&self.ends, &shares.ends);
        // What it asks for first it may issue while it waits.
        let issued = (micro_steps * self.transfers).saturating_sub(1);
        let embedding = if self.at.stage > 0 { shares.ends[0] } else { 0 };
        let before = products(&self.ahead, shares.passes)
            + embedding
            + 2 * shares.hops.to(self.at.stage.into());
        let worked = micro_steps * own + issued * shares.launch + before;
        worked.max(micro_steps * products(&self.own, shares.beside))
    }

    /// What its layers keep from step to step, and what forward has left of them when the first backward begins.
    fn bytes(&self, shares: &Shares<'_>) -> u64 {
        let at = Pipeline {
            micro_steps: shares.micro_steps,
            ..self.at
        };
        products(&self.own, shares.kept)
            + products(&self.ends, &shares.kept_ends)
            + at.layers_in_flight(&self.chunks) * shares.frame
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Counts of layers for each chunk, stages, chunks, and figures.
    fn outlined() -> impl Strategy<Value = (Vec<u64>, u32, u32, Vec<u64>)> {
        (1u32..9, 1u32..5).prop_flat_map(|(stages, chunks)| {
            let chunks = if stages == 1 { 1 } else { chunks };
            let counts = prop::collection::vec(1u64..4, (stages * chunks) as usize);
            let shares = prop::collection::vec(0u64..50, 16);
            (counts, Just(stages), Just(chunks), shares)
        })
    }

    proptest! {
        /// The obvious way: every stage is asked.
        #[test]
        fn stages_that_are_left_out_decide_nothing((counts, stages, chunks, drawn) in outlined()) {
            let mut spans = Vec::new();
            let mut first = 0;
            for count in counts {
                spans.push([first, first + count as u32 - 1]);
                first += count as u32;
            }
            let order: Vec<usize> = (0..first as usize).map(|layer| layer % 3 / 2).collect();
            let all = all(&spans, (stages, chunks), (&order, 2));
            let outline = Outline::of(&spans, (stages, chunks), (&order, 2));
            for micro_steps in [1, 2, 7].map(|groups| groups * stages) {
                let shares = Shares {
                    micro_steps,
                    passes: &drawn[..2],
                    ends: [drawn[2], drawn[3]],
                    beside: &drawn[4..6],
                    once: &[0, 0],
                    once_embedding: 0,
                    launch: drawn[6],
                    hops: Hops { inside: drawn[7], across: drawn[7] + drawn[8], stages_of_node: Some(2) },
                    kept: &drawn[9..11],
                    kept_ends: [drawn[11], drawn[12]],
                    frame: drawn[13],
                };
                let step = all.iter().map(|stage| stage.step(&shares)).max();
                let bytes = all.iter().map(|stage| stage.bytes(&shares)).max();
                let step = step.map(|step| step.max(outline.rounds(&shares)));
                prop_assert_eq!((Some(outline.step(&shares)), Some(outline.bytes(&shares))), (step, bytes));
            }
        }
    }
}
