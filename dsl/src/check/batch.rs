//! The global batch is whole sequences, dealt evenly to the replicas in micro-batches, in every phase of a run.

use num_rational::BigRational;
use num_traits::ToPrimitive;

use super::Known;
use crate::problem::Problem;
use crate::quantity::{show, whole};
use crate::resolve::{NodeId, Resolver};

/// Both rules.
pub fn check(resolver: &mut Resolver) {
    for place in resolver.batches() {
        if let Some(sequences) = whole_sequences(resolver, &place) {
            dealt_evenly(resolver, &place, sequences);
        }
    }
}

/// Where a batch and the length of its sequences are said.
pub struct Batch {
    /// The path of the batch.
    pub batch: String,
    /// The path of the length.
    pub context: String,
    /// The phase, where there are phases.
    row: Option<NodeId>,
}

impl Resolver<'_> {
    /// The batches of a run: that of each phase, or the one of the whole.
    pub fn batches(&self) -> Vec<Batch> {
        let Some(rows) = self.phases() else {
            return vec![Batch {
                batch: "train.global_batch".to_string(),
                context: "model.context".to_string(),
                row: None,
            }];
        };
        let of_row = |row: NodeId| {
            let path = &self.tree.node(row).path;
            Batch {
                batch: format!("{path}.global_batch"),
                context: format!("{path}.context"),
                row: Some(row),
            }
        };
        rows.into_iter().map(of_row).collect()
    }
}

impl Batch {
    /// Points at the phase too, where its batch is kept from another place.
    pub fn in_phase(&self, resolver: &Resolver, problem: Problem) -> Problem {
        let Some(row) = self.row else {
            return problem;
        };
        let (place, at) = (resolver.tree.node(row).place, problem.at.place);
        if place.file == at.file && place.start <= at.start && at.end <= place.end {
            return problem;
        }
        problem.and(place, "in this phase")
    }
}

/// The batch in sequences.
fn whole_sequences(resolver: &mut Resolver, place: &Batch) -> Option<u64> {
    let batch = resolver.known(&place.batch)?;
    let context = resolver.known(&place.context)?;
    let sequences = batch.number()? / context.number()?;
    if sequences.is_integer() {
        return sequences.to_u64();
    }
    let (tokens, length) = (show(batch.number()?), show(context.number()?));
    let title = format!(
        "a batch of {tokens} tokens is {} sequences of {length}, which is not whole",
        show(&sequences)
    );
    let problem = Problem::error(
        "pleach::global_batch::sequences",
        title,
        batch.place,
        format!("{tokens} / {length} = {}", show(&sequences)),
    );
    let problem = problem.and(context.place, format!("a sequence is {length} tokens"));
    let problem = place.in_phase(resolver, problem);
    let near: Vec<String> = [sequences.floor(), sequences.ceil()]
        .iter()
        .filter(|near| **near >= whole(1))
        .map(|near| format!("`{} sequences`", near.to_integer()))
        .collect();
    resolver.report(problem.help(format!("write {}", near.join(" or "))));
    None
}

/// Batch, replicas and micro-batch, as far as they are pinned.
fn dealt_evenly(resolver: &mut Resolver, place: &Batch, sequences: u64) -> Option<()> {
    let batch = resolver.known(&place.batch)?;
    let dp = resolver.known("plan.dp");
    let micro = resolver.known("plan.micro_batch");
    let count = |known: &Option<Known>| known.as_ref().and_then(Known::count);
    let replicas = count(&dp).or_else(|| implied_replicas(resolver));
    let (portion, size) = match (replicas, count(&micro)) {
        (None, None) => return None,
        (replicas, size) => (replicas.unwrap_or(1).checked_mul(size.unwrap_or(1))?, size),
    };
    if sequences.is_multiple_of(portion) {
        return None;
    }
    let quotient = show(&BigRational::new(sequences.into(), portion.into()));
    let (title, label) = match (replicas, size) {
        (Some(replicas), Some(size)) => (
            format!(
                "{sequences} sequences cannot be dealt evenly to {replicas} replicas in micro-batches of {size}"
            ),
            format!("{sequences} / ({replicas} × {size}) = {quotient} micro-steps"),
        ),
        (Some(replicas), None) => (
            format!("{sequences} sequences cannot be dealt evenly to {replicas} replicas"),
            format!("{sequences} / {replicas} = {quotient} sequences each"),
        ),
        (_, size) => (
            format!(
                "{sequences} sequences cannot be cut into micro-batches of {}",
                size.unwrap_or(1)
            ),
            format!(
                "{sequences} / {} = {quotient} micro-batches",
                size.unwrap_or(1)
            ),
        ),
    };
    let mut problem = Problem::error(
        "pleach::global_batch::indivisible",
        title,
        batch.place,
        label,
    );
    if let (Some(dp), Some(replicas)) = (&dp, replicas) {
        problem = problem.and(dp.place, format!("{replicas} replicas"));
    }
    if let (Some(micro), Some(size)) = (&micro, size) {
        problem = problem.and(micro.place, format!("{size} each"));
    }
    problem = place.in_phase(resolver, problem);
    let below = sequences / portion * portion;
    resolver.report(problem.help(match below {
        0 => format!("the smallest batch is {portion} sequences"),
        below => format!(
            "the nearest batches are {below} and {} sequences",
            below + portion
        ),
    }));
    None
}

/// The replicas that follow where `dp` is open and everything else is pinned.
fn implied_replicas(resolver: &mut Resolver) -> Option<u64> {
    let gpus = resolver.known("plan.gpus")?.count()?;
    let shared = match super::ranks::says_context(resolver) {
        true => resolver.known("plan.cp")?.count()?,
        false => 1,
    };
    let ranks = resolver
        .known("plan.tp")?
        .count()?
        .checked_mul(resolver.known("plan.pp")?.count()?)?
        .checked_mul(shared)?;
    let dp = resolver.tree.find("plan.dp")?;
    let open = resolver.value(dp) == Err(crate::evaluate::Stop::Open("dp".to_string()));
    (open && gpus.is_multiple_of(ranks)).then_some(gpus / ranks)
}
