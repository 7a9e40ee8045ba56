//! Collectives over replicas that an engine runs beside the computation: which they are, and when they begin.
//!
//! Under ZeRO 3 a layer's weights are gathered while layers before it compute, as many ahead as the engine says, and gradients are
//! scattered while layers behind compute (arXiv 2304.11277, section 3.3). Engines that overlap replicas reduce what is summed once a
//! step as soon as a layer's last backward has ended, and gather new weights until its first forward. All of them pass one queue
//! in the order in which they begin, as one communicator's do.

use std::collections::{BTreeMap, BTreeSet};

use pleach_plan::walk::visits;
use pleach_plan::{Axis, Body, BodyKind, GroupId, Instr, Op, Plan, Role, Slot};

use super::Place;
use super::actions::{Action, Summary, Work};
use crate::cost::{Class, Cost, Costs, Joins};

/// How much longer computing takes while a collective runs beside it, in millionths: measured as 1.126 (Galvatron, arXiv 2211.13878).
pub const INTERFERENCE: u64 = 1_126_000;

/// Instructions of a body that run beside the computation.
#[derive(Debug, Default)]
pub struct Moved {
    /// Gathering weights, casts in front of it included.
    pub gathers: BTreeSet<usize>,
    /// Reducing gradients, adding what came of it included.
    pub scatters: BTreeSet<usize>,
}

impl Moved {
    /// Those of a body, by the engine that is priced.
    pub fn of(costs: &Costs<'_>, body: &Body) -> Self {
        let (plan, engine) = (costs.plan(), costs.engine());
        let (gathers, reduces) = match body.kind {
            BodyKind::Forward | BodyKind::Backward => {
                let passing = engine.prefetched_gathers > 0;
                (passing, passing)
            }
            BodyKind::Reduce => (false, engine.overlapped_replicas && is_passed(plan, body)),
            BodyKind::Update => (engine.overlapped_replicas && is_passed(plan, body), false),
            BodyKind::Begin | BodyKind::Fold => (false, false),
        };
        let mut moved = Moved::default();
        for (index, instr) in body.code.iter().enumerate() {
            match instr.op {
                Op::AllGather { group, .. } if gathers && is_replicas(plan, group) => {
                    moved.gathers.insert(index);
                    moved.gathers.extend(cast_before(body, index, instr));
                }
                Op::ReduceScatter { group, .. } | Op::AllReduce { group, .. }
                    if reduces && is_replicas(plan, group) =>
                {
                    moved.scatters.insert(index);
                    moved.scatters.extend(added_behind(body, index, instr));
                }
                _ => {}
            }
        }
        moved
    }
}

/// Whether micro-batches pass the block of a body: else nothing runs beside which its collectives could.
fn is_passed(plan: &Plan, body: &Body) -> bool {
    let mut bodies = plan.bodies.iter();
    bodies.any(|other| other.kind == BodyKind::Forward && other.block == body.block)
}

fn is_replicas(plan: &Plan, group: GroupId) -> bool {
    let mut groups = plan.groups.iter();
    groups.any(|known| known.id == group && known.axes[..] == [Axis::Dp])
}

/// The cast in front of a gather, which makes what it sends; a slice of the whole is made by the update and stays in line.
fn cast_before(body: &Body, index: usize, gather: &Instr) -> Option<usize> {
    let casts =
        |instr: &Instr| matches!(instr.op, Op::Cast {}) && instr.outs.first() == gather.ins.first();
    body.code[..index].iter().rposition(casts)
}

/// The sum behind a scatter, which adds what came.
fn added_behind(body: &Body, index: usize, scatter: &Instr) -> Option<usize> {
    let slice = scatter.outs.first()?;
    let adds = |instr: &Instr| matches!(instr.op, Op::Accumulate {}) && instr.ins.contains(slice);
    let found = body.code[index..].iter().position(adds)?;
    Some(index + found)
}

/// What copying takes of the device around the gathers and scatters of a body: between flat buffers and what is read or added to, and
/// from 16 to 32 bits where an engine sums gradients so.
pub fn copies(costs: &Costs<'_>, body: &Body) -> Option<Cost> {
    let (engine, moved) = (costs.engine(), Moved::of(costs, body));
    let passes = matches!(body.kind, BodyKind::Forward | BodyKind::Backward);
    let size = |index: &usize| -> u64 {
        let instr = &body.code[*index];
        let whole = instr.ins.iter().chain(&instr.outs);
        whole.map(|&id| costs.size(id)).max().unwrap_or(0)
    };
    let of = |indices: &BTreeSet<usize>, name: &str| -> u64 {
        let own = |index: &&usize| body.code[**index].op.name() == name;
        indices.iter().filter(own).map(size).sum()
    };
    let out = 2 * of(&moved.gathers, "all_gather") * u64::from(engine.copied_gathers);
    let sent = of(&moved.scatters, "reduce_scatter");
    let back = match (costs.widens(), engine.copied_gathers) {
        (true, _) => 3 * sent,
        (false, copied) => 2 * sent * u64::from(copied),
    };
    let seconds = (out + back) as f64 / costs.hardware().memory.bandwidth.value;
    (passes && out + back > 0).then(|| Cost {
        ps: costs.computing(seconds),
        class: Class::Compute,
        busy: 1_000_000,
        joins: Joins::Nobody,
    })
}

/// Bytes that a role's ranks hold for what runs beside the computation: weights that are gathered ahead, gradients that are still scattered.
pub fn held(costs: &Costs<'_>, role: &Role) -> u64 {
    let (plan, engine) = (costs.plan(), costs.engine());
    let layered = plan.buckets.iter().filter(|bucket| plan.is_layered(bucket));
    let bytes = layered.map(|bucket| {
        let others = plan.copy_count(role, bucket.m).saturating_sub(1);
        let ahead = u64::from(engine.prefetched_gathers).min(others);
        let gathered = plan.kept_weights(bucket) != bucket.weights;
        let weights = ahead * costs.size(bucket.weights) * u64::from(gathered);
        let scattered = bucket.sums.is_some() && ahead > 0;
        let wide = 1 + u64::from(costs.widens());
        weights + wide * costs.size(bucket.gradients) * u64::from(scattered)
    });
    bytes.sum()
}

/// What runs beside one visit: picoseconds of the gather that it waits for, and of the scatter that it leaves.
#[derive(Clone, Copy, Debug)]
struct Around {
    gather: u64,
    scatter: u64,
    place: Place,
}

impl Around {
    fn of(summary: &Summary, slot: usize, layer: Option<u32>) -> Self {
        Around {
            gather: summary.gather,
            scatter: summary.scatter,
            place: Place {
                slot,
                layer,
                instruction: None,
            },
        }
    }
}

/// The queue of one role: what its visits wait for and leave.
#[derive(Debug)]
pub struct Queue {
    around: Vec<Around>,
    /// Visits that have begun.
    begun: usize,
    /// Visits whose gather has begun.
    asked: usize,
    /// For each visit whose gather has begun: its number in the queue.
    numbers: Vec<usize>,
    /// Collectives that have begun.
    count: usize,
    ahead: usize,
}

impl Queue {
    /// The queue of a role's slots; none where the engine runs nothing beside.
    pub fn of(costs: &Costs<'_>, summaries: &[Summary], slots: &[Slot]) -> Option<Self> {
        let beside = |summary: &Summary| summary.gather > 0 || summary.scatter > 0;
        if !summaries.iter().any(beside) {
            return None;
        }
        let plan = costs.plan();
        let mut around = Vec::new();
        let (mut first, mut last) = (BTreeMap::new(), BTreeMap::new());
        let mut once: BTreeMap<(&str, Option<u32>), [u64; 2]> = BTreeMap::new();
        for (slot, call) in slots.iter().enumerate() {
            let Slot::Call(call) = call else { continue };
            let summary = &summaries[call.body.0 as usize];
            for visit in visits(plan, slot, call) {
                let key = (visit.body.block.as_str(), visit.layer);
                match visit.body.kind {
                    BodyKind::Forward => {
                        first.entry(key).or_insert(around.len());
                        around.push(Around::of(summary, slot, visit.layer));
                    }
                    BodyKind::Backward => {
                        last.insert(key, around.len());
                        around.push(Around::of(summary, slot, visit.layer));
                    }
                    BodyKind::Reduce => once.entry(key).or_default()[1] += summary.scatter,
                    BodyKind::Update => once.entry(key).or_default()[0] += summary.gather,
                    BodyKind::Begin | BodyKind::Fold => {}
                }
            }
        }
        for (key, [gather, scatter]) in once {
            if let Some(&index) = first.get(&key) {
                around[index].gather += gather;
            }
            if let Some(&index) = last.get(&key) {
                around[index].scatter += scatter;
            }
        }
        let ahead = match costs.engine().prefetched_gathers {
            0 => usize::MAX,
            count => count as usize,
        };
        Some(Queue {
            numbers: vec![0; around.len()],
            around,
            begun: 0,
            asked: 0,
            count: 0,
            ahead,
        })
    }

    /// What happens before a visit: gathers of those ahead begin, its own is waited for.
    pub fn before(&mut self, actions: &mut Vec<Action>) {
        let own = self.begun;
        self.begun += 1;
        let end = own.saturating_add(self.ahead).min(self.around.len() - 1);
        while self.asked <= end {
            let Around { gather, place, .. } = self.around[self.asked];
            if gather > 0 {
                self.numbers[self.asked] = self.begin(gather, place, actions);
            }
            self.asked += 1;
        }
        let Around { gather, place, .. } = self.around[own];
        if gather > 0 {
            actions.push(Action::Join(self.numbers[own], place));
        }
    }

    /// What happens after a visit: its gradients begin to be scattered.
    pub fn after(&mut self, actions: &mut Vec<Action>) {
        let Around { scatter, place, .. } = self.around[self.begun - 1];
        if scatter > 0 {
            self.begin(scatter, place, actions);
        }
    }

    /// Waits for all that has begun.
    pub fn end(&self, slot: usize, actions: &mut Vec<Action>) {
        let place = Place {
            slot,
            layer: None,
            instruction: None,
        };
        if self.count > 0 {
            actions.push(Action::Join(self.count - 1, place));
        }
    }

    fn begin(&mut self, ps: u64, place: Place, actions: &mut Vec<Action>) -> usize {
        let number = self.count;
        self.count += 1;
        actions.push(Action::Beside(Work {
            ps,
            class: Class::Communication,
            busy: 0,
            once: false,
            place,
        }));
        number
    }
}
