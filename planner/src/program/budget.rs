//! Recomputation under a budget: of all ways to run a layer's costly steps again, the fastest that keep no more than the budget.
//!
//! In come the sharded layers and how many of them are under way on each stage; out comes for each kind of layers which steps run again. A
//! layer has few steps that cost much, so all sets of them are tried; those that are best for their bytes make a convex ladder
//! ([`ladder`]), on which kinds of layers descend where a byte costs least. Work is counted without a device, in bytes moved: only its
//! order matters.

use std::collections::BTreeSet;

use pleach_dsl::experiment::Experiment;
use pleach_plan::op::Op;
use pleach_plan::{Dtype, Recompute};

use super::passes::Pipeline;
use super::recompute::{Again, Passes, Version, made, read};
use super::tensors::dtype_of;
use super::{EmitError, header, stages};
use crate::graph::Block;
use crate::placement::Placement;
use crate::shard::strategy::Form;
use crate::shard::{Sharded, Step};

/// Operations of a product that a device does while it moves a byte of its memory: 100 to 300 on accelerators of today.
const OPERATIONS: f64 = 150.0;

/// Bytes of its memory that a device moves while it sends one.
const SENT: f64 = 8.0;

/// Costly steps whose sets are all tried; the smallest of more are kept.
const TRIED: usize = 12;

/// A way to split a layer.
#[derive(Clone, Debug)]
pub(super) struct Way {
    again: Again,
    /// What runs again, in bytes moved.
    work: f64,
    /// What forward keeps for backward of one micro-batch.
    bytes: u64,
}

/// What sizes on a rank depend on.
struct Local<'b> {
    block: &'b Block,
    tp: u64,
    compute: Dtype,
    accumulate: Dtype,
}

/// The ways of a kind of layers that are worth taking, from the one that keeps most.
pub(super) fn ways(
    experiment: &Experiment,
    placement: &Placement,
    block: &Block,
    sharded: &Sharded,
) -> Vec<Way> {
    let (compute, accumulate) = header::dtypes(experiment.train.precision);
    let local = Local {
        block,
        tp: placement.tp.into(),
        compute,
        accumulate,
    };
    let forward: Vec<(usize, &Step)> = sharded.steps.iter().enumerate().collect();
    let boundary = forward.iter().position(|(_, step)| step.backward());
    let forward = &forward[..boundary.unwrap_or(forward.len())];
    let (mut costly, light): (Vec<_>, Vec<_>) = forward
        .iter()
        .copied()
        .partition(|(_, step)| is_costly(step));
    costly.sort_by_key(|(_, step)| std::cmp::Reverse(local.sum(&made(step))));
    costly.truncate(TRIED);
    let light: BTreeSet<usize> = light.into_iter().map(|(index, _)| index).collect();
    let chosen = |set: usize| {
        let members = costly.iter().enumerate();
        let members = members.filter(|(bit, _)| set & 1 << bit != 0);
        let steps = members.map(|(_, (index, _))| *index);
        Again::Steps(steps.chain(light.iter().copied()).collect())
    };
    let all = (0..1 << costly.len()).map(chosen);
    let way = |again: Again| {
        let passes = Passes::new(block, sharded, &again);
        let rerun = passes.backward.iter().filter(|step| !step.backward());
        Way {
            work: rerun.map(|step| local.work(step)).sum(),
            bytes: local.sum(&passes.saved),
            again,
        }
    };
    ladder([Again::Nothing].into_iter().chain(all).map(way).collect())
}

/// The lower convex hull: with fewer bytes each way costs more, and more for each byte than the one before.
fn ladder(mut ways: Vec<Way>) -> Vec<Way> {
    ways.sort_by(|left, right| {
        let work = left.work.total_cmp(&right.work);
        right.bytes.cmp(&left.bytes).then(work)
    });
    let mut kept: Vec<Way> = Vec::new();
    for way in ways {
        while let Some(last) = kept.last() {
            let before = kept.len().checked_sub(2).map(|index| &kept[index]);
            let bends = before.is_some_and(|before| slope(before, last) >= slope(last, &way));
            if last.work >= way.work || bends {
                kept.pop();
            } else {
                break;
            }
        }
        if kept.last().is_none_or(|last| way.bytes < last.bytes) {
            kept.push(way);
        }
    }
    kept
}

/// What a byte less costs between two ways.
fn slope(more: &Way, less: &Way) -> f64 {
    (less.work - more.work) / (more.bytes - less.bytes).max(1) as f64
}

/// For each kind of layers the way whose sum fits the budget on every stage and runs least again.
pub(super) fn chosen(
    experiment: &Experiment,
    placement: &Placement,
    ladders: &[Vec<Way>],
    (order, head): (&[usize], u64),
) -> Result<Vec<Again>, EmitError> {
    let budget = experiment.plan.recompute_budget.unwrap_or(u64::MAX);
    let stages = under_way(experiment, placement, ladders.len(), (order, head));
    let mut at = vec![0; ladders.len()];
    loop {
        let kept = |held: &Vec<u64>| -> u64 {
            let kinds = held.iter().zip(ladders).zip(&at);
            kinds.map(|((held, ways), &at)| held * ways[at].bytes).sum()
        };
        let most = stages.iter().map(kept).max().unwrap_or(0);
        if most <= budget {
            let kinds = ladders.iter().zip(&at);
            return Ok(kinds.map(|(ways, &at)| ways[at].again.clone()).collect());
        }
        let next = |kind: &usize| {
            Some((
                &ladders[*kind][at[*kind]],
                ladders[*kind].get(at[*kind] + 1)?,
            ))
        };
        let price =
            |kind: &usize| next(kind).map_or(f64::INFINITY, |(more, less)| slope(more, less));
        let open = (0..ladders.len()).filter(|kind| next(kind).is_some());
        let cheapest = open.min_by(|left, right| price(left).total_cmp(&price(right)));
        match cheapest {
            Some(kind) => at[kind] += 1,
            None => {
                return Err(EmitError::Budget {
                    least: most,
                    budget,
                });
            }
        }
    }
}

/// For each stage and kind of layers, how many of its layers' passes are under way when the first backward begins.
fn under_way(
    experiment: &Experiment,
    placement: &Placement,
    kinds: usize,
    (order, head): (&[usize], u64),
) -> Vec<Vec<u64>> {
    let spans = stages::spans(experiment, placement, head);
    let replicas = u64::from(placement.dp) * placement.micro_batch;
    let micro_steps = experiment.train.global_batch / replicas.max(1);
    let stage = |stage: u32| {
        let pipeline = Pipeline {
            stage,
            stages: placement.pp,
            chunks: placement.vpp,
            micro_steps: u32::try_from(micro_steps).unwrap_or(u32::MAX),
        };
        let chunks = spans
            .iter()
            .skip(stage as usize)
            .step_by(placement.pp as usize);
        let mut held = vec![0; kinds];
        for (count, &[first, last]) in pipeline.in_flight().zip(chunks) {
            for &kind in &order[first as usize..=last as usize] {
                held[kind] += count;
            }
        }
        held
    };
    (0..placement.pp).map(stage).collect()
}

/// Whether a placement's choice depends on a budget.
pub(super) fn applies(experiment: &Experiment, placement: &Placement) -> bool {
    experiment.plan.recompute_budget.is_some() && placement.recompute == Recompute::Selective
}

/// Whether a step does more than pass over its operands.
fn is_costly(step: &Step) -> bool {
    match step {
        Step::Convert { .. } => true,
        Step::Run { node, .. } => matches!(
            node.op,
            Op::Linear {} | Op::ExpertLinear {} | Op::Attention(_) | Op::Scan {}
        ),
    }
}

impl Local<'_> {
    fn dims(&self, (value, form): Version) -> Vec<u64> {
        let dims = self.block.value(value).dims.iter().enumerate();
        let cut = |index: usize| {
            if form.cut() == Some(index) {
                self.tp
            } else {
                1
            }
        };
        dims.map(|(index, dim)| dim.size / cut(index)).collect()
    }

    fn sum(&self, versions: &[Version]) -> u64 {
        let bytes = |&version: &Version| {
            let kind = &self.block.value(version.0).kind;
            let dtype = dtype_of(kind, self.compute, self.accumulate);
            self.dims(version).iter().product::<u64>() * dtype.bytes()
        };
        versions.iter().map(bytes).sum()
    }

    /// What running a step takes, in bytes moved.
    fn work(&self, step: &Step) -> f64 {
        let moved = (self.sum(&read(step)) + self.sum(&made(step))) as f64;
        let Step::Run { node, strategy } = step else {
            return moved * SENT;
        };
        let first = |ids: &[crate::graph::ValueId], forms: &[Form]| {
            ids.first()
                .zip(forms.first())
                .map_or(vec![], |(&id, &form)| self.dims((id, form)))
        };
        let (ins, outs) = (
            first(&node.ins, &strategy.ins),
            first(&node.outs, &strategy.outs),
        );
        let results = outs.iter().product::<u64>() as f64;
        let deep = match node.op {
            Op::Linear {} | Op::ExpertLinear {} => ins.last().copied().unwrap_or(1),
            // Half of the scores are masked; probabilities weigh values once more.
            Op::Attention(_) => ins.iter().rev().nth(1).copied().unwrap_or(1),
            _ => return moved,
        };
        moved + 2.0 * results * deep as f64 / OPERATIONS
    }
}
