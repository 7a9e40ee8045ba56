//! The space of placements: what the spec allows on this cluster, and why the rest is impossible.
//!
//! Ranks are `tp × pp × dp` and all of the cluster is used, or as many GPUs as the spec says. Fields the spec leaves open take every value that divides; what does not
//! divide is counted under its reason.

use std::sync::Arc;

use pleach_dsl::experiment::{Experiment, Stages};
use pleach_dsl::wish::{Choice, FromFigure, Requirement, Verdict};
use pleach_plan::Recompute;

use super::figures::{Scoped, schedule};
use crate::engine;
use crate::graph::beyond::shared;
use crate::placement::Placement;
use crate::program::lanes;
use crate::report::screen::plural;

/// A part of the space that was left, why, and how many placements it held.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Rejected {
    /// The region: `tp 8`.
    pub what: String,
    /// The reason: `64 heads do not divide by 3`.
    pub why: String,
    /// Placements in it.
    pub count: u64,
}

/// All placements that can be tried.
#[derive(Clone, Debug, Default)]
pub struct Space {
    /// In canonical order.
    pub candidates: Vec<Placement>,
    /// What cannot be tried.
    pub impossible: Vec<Rejected>,
}

impl Space {
    /// How many placements there are, impossible ones included.
    pub fn total(&self) -> u64 {
        let impossible: u64 = self.impossible.iter().map(|region| region.count).sum();
        self.candidates.len() as u64 + impossible
    }
}

/// Micro-batches of a step whose order a plan can list, and passes of all of them through all chunks.
const MICRO_STEPS: u64 = 1 << 16;
const PASSES: u64 = 1 << 20;

struct Builder<'e> {
    experiment: &'e Experiment,
    engine: Arc<str>,
    candidates: Vec<Placement>,
    impossible: Vec<Rejected>,
}

/// Enumerates the space of an experiment.
pub fn enumerate(experiment: &Experiment) -> Space {
    let mut builder = Builder {
        experiment,
        engine: experiment.plan.engine.as_str().into(),
        candidates: Vec::new(),
        impossible: Vec::new(),
    };
    builder.meshes();
    Space {
        candidates: builder.candidates,
        impossible: builder.impossible,
    }
}

impl Builder<'_> {
    fn meshes(&mut self) {
        let there = self.experiment.cluster.gpus();
        if self.experiment.ranks() > there {
            let nodes = plural(self.experiment.cluster.nodes, "node");
            let why = format!(
                "{} GPUs are wanted, there are {there}",
                self.experiment.ranks()
            );
            return self.reject(nodes, why);
        }
        let wishes = &self.experiment.plan;
        let gpus = self.experiment.ranks();
        if gpus == 0 {
            let nodes = plural(self.experiment.cluster.nodes, "node");
            return self.reject(nodes, "there is no GPU to place anything on".to_owned());
        }
        let mut scope = Scoped::new(self.experiment);
        for tp in values(&wishes.tp, &scope, || divisors(gpus)) {
            scope.tp = Some(tp);
            if let Some(why) = self.tensor_parallel(tp, gpus) {
                self.reject(format!("tp {tp}"), why);
                continue;
            }
            for pp in values(&wishes.pp, &scope, || divisors(gpus / tp)) {
                scope.pp = Some(pp);
                if let Some(why) = self.stages(tp, pp, gpus) {
                    self.reject(format!("pp {pp}"), why);
                    continue;
                }
                for dp in values(&wishes.dp, &scope, || vec![gpus / (tp * pp)]) {
                    scope.dp = Some(dp);
                    self.mesh(&scope, [tp, pp, dp]);
                }
                scope.dp = None;
            }
            scope.pp = None;
        }
    }

    fn tensor_parallel(&self, tp: u64, gpus: u64) -> Option<String> {
        if tp == 0 || !gpus.is_multiple_of(tp) {
            return Some(format!("{gpus} ranks do not divide by it"));
        }
        let model = &self.experiment.model;
        let shares = model.kinds.iter().flat_map(|kind| shared(model, kind));
        let mut shares = shares.chain([("vocabulary rows", model.vocab)]);
        let uneven = shares.find(|(_, size)| !size.is_multiple_of(tp));
        uneven.map(|(what, size)| format!("{size} {what} do not divide by it"))
    }

    fn stages(&self, tp: u64, pp: u64, gpus: u64) -> Option<String> {
        let layers = self.experiment.model.layers();
        if pp == 0 || !gpus.is_multiple_of(tp.saturating_mul(pp)) {
            return Some(format!("with tp {tp}, {gpus} ranks do not divide by it"));
        }
        if let Some(Stages::Layers(counts)) = &self.experiment.plan.stages {
            let written = counts.len() as u64;
            if !written.is_multiple_of(pp) {
                return Some(format!(
                    "{written} counts of layers are written for its stages"
                ));
            }
        }
        (pp > layers).then(|| format!("there are only {layers} layers"))
    }

    fn mesh(&mut self, scope: &Scoped<'_>, [tp, pp, dp]: [u64; 3]) {
        let gpus = self.experiment.ranks();
        let ranks = tp.saturating_mul(pp).saturating_mul(dp);
        if ranks != gpus {
            let why = format!("tp {tp} x pp {pp} x dp {dp} is {ranks} ranks, not {gpus}");
            return self.reject(format!("dp {dp}"), why);
        }
        let batch = self.experiment.train.global_batch;
        if !batch.is_multiple_of(dp) {
            return self.reject(
                format!("dp {dp}"),
                format!("a batch of {batch} sequences does not divide by it"),
            );
        }
        let lanes = lanes(self.experiment.train.sums).map(u64::from);
        if let Some(lanes) = lanes.filter(|lanes| !lanes.is_multiple_of(dp)) {
            let why = format!("{lanes} lanes of `train.sums` do not divide by it");
            return self.reject(format!("dp {dp}"), why);
        }
        let mut scope = scope.clone();
        let wishes = &self.experiment.plan;
        let most = engine::find(&wishes.engine).map_or(0, |engine| u64::from(engine.zero));
        let zeros: Vec<u64> = (0..=if dp > 1 { most } else { 0 }).collect();
        for zero in values(&wishes.zero, &scope, || zeros.clone()) {
            scope.zero = Some(zero);
            if zero > most {
                let why = format!("`{}` has ZeRO stages up to {most}", wishes.engine);
                self.reject(format!("zero {zero}"), why);
                continue;
            }
            if zero > 1 && dp > 1 && lanes.is_some() {
                let why = "`train.sums = reproducible` needs whole gradients".to_owned();
                self.reject(format!("zero {zero}"), why);
                continue;
            }
            for shards in values(&wishes.shards, &scope, || self.blocks(&scope)) {
                scope.shards = Some(shards);
                match self.dividing(&scope, shards) {
                    Some(why) => self.reject(format!("shards {shards}"), why),
                    None => self.micro_batches(&mut scope, batch / dp),
                }
            }
            scope.shards = None;
        }
    }

    /// Replicas among which ZeRO divides, where that is open: all, or those of a node where there are more.
    fn blocks(&self, scope: &Scoped<'_>) -> Vec<u64> {
        let (dp, tp) = (scope.dp.unwrap_or(1), scope.tp.unwrap_or(1));
        let able = engine::find(&self.experiment.plan.engine).is_some_and(|engine| engine.hybrid);
        let inside = self.experiment.cluster.gpus_per_node / tp;
        let apart = inside > 1 && inside < dp && dp.is_multiple_of(inside);
        match able && apart && scope.zero.unwrap_or(0) > 0 {
            true => vec![dp, inside],
            false => vec![dp],
        }
    }

    /// Why ZeRO cannot divide among so many replicas.
    fn dividing(&self, scope: &Scoped<'_>, shards: u64) -> Option<String> {
        let (dp, engine) = (scope.dp.unwrap_or(1), &self.experiment.plan.engine);
        if shards == dp {
            return None;
        }
        if scope.zero == Some(0) {
            return Some("`zero = 0` divides nothing among replicas".to_owned());
        }
        if shards < 2 || !dp.is_multiple_of(shards) {
            return Some(format!("{dp} replicas do not stand in blocks of it"));
        }
        let hybrid = engine::find(engine).is_some_and(|engine| engine.hybrid);
        (!hybrid).then(|| format!("`{engine}` divides among all replicas"))
    }

    /// Sequences at once, out of those of each replica.
    fn micro_batches(&mut self, scope: &mut Scoped<'_>, own: u64) {
        let wishes = &self.experiment.plan;
        for micro in values(&wishes.micro_batch, scope, || divisors(own)) {
            scope.micro_batch = Some(micro);
            if micro == 0 || !own.is_multiple_of(micro) {
                let why = format!("{own} sequences of each replica do not divide by it");
                self.reject(format!("micro_batch {micro}"), why);
            } else if let Some(why) = self.across_lanes(micro, own) {
                self.reject(format!("micro_batch {micro}"), why);
            } else if let Some(why) = self.beyond_counting(micro, own / micro) {
                self.reject(format!("micro_batch {micro}"), why);
            } else {
                self.chunks(scope, own / micro);
            }
        }
        scope.micro_batch = None;
    }

    /// Why micro-batches of a replica's sequences would reach over the ends of lanes.
    fn across_lanes(&self, micro_batch: u64, own: u64) -> Option<String> {
        let batch = self.experiment.train.global_batch;
        let lanes = u64::from(lanes(self.experiment.train.sums)?);
        let length = (batch / lanes).min(own);
        (!length.is_multiple_of(micro_batch))
            .then(|| format!("lanes of {length} sequences (`train.sums`) do not divide by it"))
    }

    /// Why so many sequences at once, so many times a step, are too many.
    fn beyond_counting(&self, micro_batch: u64, micro_steps: u64) -> Option<String> {
        let model = &self.experiment.model;
        let tokens = u128::from(micro_batch) * u128::from(model.context);
        let row = u128::from(model.context.max(model.vocab)) * u128::from(model.hidden);
        if tokens.saturating_mul(row) > 1 << 57 {
            return Some(format!(
                "the products of {micro_batch} sequences are beyond counting"
            ));
        }
        (micro_steps > MICRO_STEPS)
            .then(|| format!("{micro_steps} micro-batches a step are more than {MICRO_STEPS}"))
    }

    /// Chunks of each stage: where they are open, one, or as many as make chunks of another size.
    fn chunks(&mut self, scope: &mut Scoped<'_>, micro_steps: u64) {
        let (plan, pp) = (&self.experiment.plan, scope.pp.unwrap_or(1));
        let layers = self.experiment.model.layers();
        let able = engine::find(&plan.engine).is_none_or(|engine| engine.interleaves);
        let counts = || match able && pp > 1 && micro_steps.is_multiple_of(pp) {
            true => chunk_counts(layers, pp),
            false => vec![1],
        };
        for vpp in values(&plan.vpp, scope, counts) {
            scope.vpp = Some(vpp);
            let why = self.interleaving(vpp, pp, micro_steps);
            match why.or_else(|| listed(micro_steps, pp.saturating_mul(vpp))) {
                Some(why) => self.reject(format!("vpp {vpp}"), why),
                None => self.leaves(scope),
            }
        }
        scope.vpp = None;
    }

    /// Why stages cannot hold so many chunks.
    fn interleaving(&self, vpp: u64, pp: u64, micro_steps: u64) -> Option<String> {
        let (plan, layers) = (&self.experiment.plan, self.experiment.model.layers());
        match &plan.stages {
            Some(Stages::Layers(counts)) if counts.len() as u64 != pp.saturating_mul(vpp) => {
                return Some(format!(
                    "{} counts of layers are written for {pp} x {vpp} chunks",
                    counts.len()
                ));
            }
            Some(Stages::Even) if !layers.is_multiple_of(pp.saturating_mul(vpp).max(1)) => {
                return Some(format!(
                    "{layers} layers do not divide evenly by {pp} x {vpp} chunks"
                ));
            }
            _ => {}
        }
        if vpp == 1 {
            return None;
        }
        if engine::find(&plan.engine).is_some_and(|engine| !engine.interleaves) {
            return Some(format!("`{}` does not interleave stages", plan.engine));
        }
        if pp == 1 {
            return Some("one stage has nothing to interleave with".to_owned());
        }
        if vpp == 0 || pp.saturating_mul(vpp) > layers {
            return Some(format!("{layers} layers do not fill {pp} x {vpp} chunks"));
        }
        (!micro_steps.is_multiple_of(pp)).then(|| {
            format!(
                "{micro_steps} micro-batches do not fall into groups of {pp}, one for each stage"
            )
        })
    }

    /// The choices that change no shape: recompute and sequence parallelism.
    fn leaves(&mut self, scope: &mut Scoped<'_>) {
        let wishes = &self.experiment.plan;
        let tp = scope.tp.unwrap_or(1);
        let words = || ["none", "selective", "full"].map(str::to_owned).to_vec();
        let able = engine::find(&wishes.engine).is_none_or(|engine| engine.sequence_parallel);
        let switches = || {
            if tp > 1 && able {
                vec![false, true]
            } else {
                vec![false]
            }
        };
        for word in values(&wishes.recompute, scope, words) {
            scope.recompute = Some(word.clone());
            for sequence in values(&wishes.sequence_parallel, scope, switches) {
                scope.sequence_parallel = Some(sequence);
                self.leaf(scope, &word, sequence);
            }
            scope.sequence_parallel = None;
        }
        scope.recompute = None;
    }

    fn leaf(&mut self, scope: &Scoped<'_>, word: &str, sequence_parallel: bool) {
        let recompute = match word {
            "none" => Recompute::None,
            "selective" => Recompute::Selective,
            "full" => Recompute::Full,
            _ => {
                return self.reject(
                    format!("recompute {word}"),
                    "it is `none`, `selective` or `full`".to_owned(),
                );
            }
        };
        let tp = scope.tp.unwrap_or(1);
        let context = self.experiment.model.context;
        if sequence_parallel && !context.is_multiple_of(tp) {
            return self.reject(
                format!("tp {tp}"),
                format!("{context} positions do not divide by it (sequence parallelism)"),
            );
        }
        if !agrees(self.experiment, scope) {
            return;
        }
        if let Some((what, why)) = broken_law(&self.experiment.plan.requirements, scope) {
            return self.reject(what, why);
        }
        self.candidates
            .push(scope.placement(&self.engine, recompute, sequence_parallel));
    }

    fn reject(&mut self, what: String, why: String) {
        match self
            .impossible
            .iter_mut()
            .find(|region| region.what == what && region.why == why)
        {
            Some(region) => region.count += 1,
            None => self.impossible.push(Rejected {
                what,
                why,
                count: 1,
            }),
        }
    }
}

/// Why so many micro-batches cannot pass so many chunks.
fn listed(micro_steps: u64, chunks: u64) -> Option<String> {
    let passes = micro_steps.saturating_mul(chunks);
    (passes > PASSES).then(|| {
        format!(
            "{micro_steps} micro-batches pass {chunks} chunks: more than {PASSES} passes a step"
        )
    })
}

/// The values that a choice allows here, or the default ones.
fn values<T: FromFigure + Clone>(
    choice: &Choice<T>,
    scope: &Scoped<'_>,
    default: impl FnOnce() -> Vec<T>,
) -> Vec<T> {
    choice.candidates(scope).unwrap_or_else(default)
}

/// Formulas that could not be computed on the way must agree in the end.
fn agrees(experiment: &Experiment, scope: &Scoped<'_>) -> bool {
    let wishes = &experiment.plan;
    let schedule = scope.vpp.map(|vpp| schedule(vpp).to_owned());
    holds(&wishes.tp, scope, scope.tp.as_ref())
        && holds(&wishes.pp, scope, scope.pp.as_ref())
        && holds(&wishes.dp, scope, scope.dp.as_ref())
        && holds(&wishes.vpp, scope, scope.vpp.as_ref())
        && holds(&wishes.schedule, scope, schedule.as_ref())
        && holds(&wishes.zero, scope, scope.zero.as_ref())
        && holds(&wishes.shards, scope, scope.shards.as_ref())
        && holds(&wishes.micro_batch, scope, scope.micro_batch.as_ref())
        && holds(&wishes.recompute, scope, scope.recompute.as_ref())
        && holds(
            &wishes.sequence_parallel,
            scope,
            scope.sequence_parallel.as_ref(),
        )
}

fn holds<T: FromFigure + Clone + PartialEq>(
    choice: &Choice<T>,
    scope: &Scoped<'_>,
    value: Option<&T>,
) -> bool {
    match (choice.candidates(scope), value) {
        (Some(allowed), Some(value)) => allowed.contains(value),
        _ => true,
    }
}

/// The first law that does not hold, as region and reason.
pub fn broken_law(laws: &[Requirement], scope: &Scoped<'_>) -> Option<(String, String)> {
    laws.iter().find_map(|law| match law.check(scope) {
        Verdict::Holds | Verdict::Unknown(_) => None,
        Verdict::Fails { .. } => {
            let reason = law
                .because
                .as_ref()
                .map_or(String::new(), |because| format!(" ({because})"));
            Some((scope.region(), format!("breaks `{}`{reason}", law.text)))
        }
    })
}

/// Counts of chunks for each stage: where layers divide evenly those that leave them even, else the least with chunks of at most so many
/// layers, for each number.
fn chunk_counts(layers: u64, stages: u64) -> Vec<u64> {
    if layers.is_multiple_of(stages) {
        return divisors(layers / stages);
    }
    let most = (layers / stages).max(1);
    let sizes = 1..=layers.div_ceil(stages);
    let mut counts: Vec<u64> = sizes
        .map(|size| layers.div_ceil(stages * size).min(most))
        .collect();
    counts.sort_unstable();
    counts.dedup();
    counts
}

fn divisors(number: u64) -> Vec<u64> {
    let small = (1..=number.isqrt()).filter(|divisor| number.is_multiple_of(*divisor));
    let mut all: Vec<u64> = small
        .flat_map(|divisor| [divisor, number / divisor])
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}
