//! What backward computes again: which of forward's steps run a second time, and what forward keeps instead of them.
//!
//! In come a block's sharded steps and what may run again; out come the steps of both passes and the versions saved between them. Under a
//! budget the choice is made from all ways of running costly steps again ([`Ways`]): the fastest that keep no more than the budget.

use std::collections::BTreeSet;

use pleach_plan::op::Op;

use crate::graph::{Block, ValueId};
use crate::ops;
use crate::shard::strategy::Form;
use crate::shard::{Sharded, Step};

/// A value in one of its forms.
pub(super) type Version = (ValueId, Form);

/// What of forward backward computes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Again {
    Nothing,
    /// Operations that are cheap.
    Cheap,
    /// The same and every second product.
    Alternate,
    /// All that backward reads.
    Everything,
    /// Of forward's steps these.
    Steps(BTreeSet<usize>),
}

/// The two passes of a block.
pub(super) struct Passes<'s> {
    /// Forward's steps.
    pub forward: Vec<&'s Step>,
    /// Those of forward that run again, and backward's own.
    pub backward: Vec<&'s Step>,
    /// What forward leaves for backward.
    pub saved: Vec<Version>,
}

impl<'s> Passes<'s> {
    /// Splits a block's steps, of which some may run again.
    pub fn new(block: &Block, sharded: &'s Sharded, again: &Again) -> Self {
        let wire = sharded.wire;
        let all: Vec<&Step> = sharded.steps.iter().collect();
        let boundary = all.iter().position(|step| step.backward());
        let (forward, own) = all.split_at(boundary.unwrap_or(all.len()));
        let version = |value: ValueId| (value, wire);
        let leaves = block.output.map(version);
        let ends: Vec<Version> = block.gradient_out.map(version).into_iter().collect();
        let mut kept = rerun(forward, again);
        let effects = kept.len();
        kept.extend(own);
        // What a step that runs again reads is kept by forward; backward does not make it another time for itself.
        let early = open(block, &needed(&kept, &ends, effects));
        kept.retain(|step| {
            let made = made(step);
            made.is_empty() || made.iter().any(|version| !early.contains(version))
        });
        let backward = needed(&kept, &ends, effects);
        let arrives = block.gradient_in.map(version);
        let saved: Vec<Version> = open(block, &backward)
            .into_iter()
            .filter(|&version| Some(version) != arrives)
            .collect();
        let roots: Vec<Version> = leaves.iter().chain(&saved).copied().collect();
        Passes {
            forward: needed(forward, &roots, 0),
            backward,
            saved,
        }
    }
}

/// The steps of a forward that may run again.
fn rerun<'s>(forward: &[&'s Step], again: &Again) -> Vec<&'s Step> {
    let steps = forward.iter().enumerate();
    match again {
        Again::Nothing => Vec::new(),
        Again::Cheap => forward
            .iter()
            .filter(|step| is_cheap(step))
            .copied()
            .collect(),
        Again::Alternate => alternate(forward),
        Again::Everything => forward.to_vec(),
        Again::Steps(chosen) => steps
            .filter(|(index, _)| chosen.contains(index))
            .map(|(_, step)| *step)
            .collect(),
    }
}

/// What a step makes.
pub(super) fn made(step: &Step) -> Vec<Version> {
    match step {
        Step::Convert { value, to, .. } => vec![(*value, *to)],
        Step::Run { node, strategy } => node
            .outs
            .iter()
            .copied()
            .zip(strategy.outs.iter().copied())
            .collect(),
    }
}

/// What a step reads.
pub(super) fn read(step: &Step) -> Vec<Version> {
    match step {
        Step::Convert { value, from, .. } => vec![(*value, *from)],
        Step::Run { node, strategy } => node
            .ins
            .iter()
            .copied()
            .zip(strategy.ins.iter().copied())
            .collect(),
    }
}

/// Whether a step may run again under selective recomputation.
fn is_cheap(step: &Step) -> bool {
    matches!(step, Step::Run { node, .. } if ops::is_cheap(&node.op))
}

/// The steps of a forward that are cheap, and every second of its products.
fn alternate<'s>(forward: &[&'s Step]) -> Vec<&'s Step> {
    let mut products = 0u32;
    let mut again = |step: &&&Step| {
        let product = matches!(step, Step::Run { node, .. } if node.op == Op::Linear {});
        products += u32::from(product);
        is_cheap(step) || (product && products.is_multiple_of(2))
    };
    forward.iter().filter(|step| again(step)).copied().collect()
}

/// The steps that `roots`, or an update at or behind `effects`, depend on.
fn needed<'s>(steps: &[&'s Step], roots: &[Version], effects: usize) -> Vec<&'s Step> {
    let mut wanted: BTreeSet<Version> = roots.iter().copied().collect();
    let mut kept = Vec::new();
    for (index, step) in steps.iter().enumerate().rev() {
        let acts =
            matches!(step, Step::Run { node, .. } if !node.updates.is_empty()) && index >= effects;
        if acts || made(step).iter().any(|version| wanted.contains(version)) {
            wanted.extend(read(step));
            kept.push(*step);
        }
    }
    kept.reverse();
    kept
}

/// Versions that steps read and that none before them made, parameters apart: what must come from outside.
fn open(block: &Block, steps: &[&Step]) -> Vec<Version> {
    let (mut made_before, mut open) = (BTreeSet::new(), BTreeSet::new());
    for step in steps {
        let outside = |version: &Version| {
            !made_before.contains(version) && !block.value(version.0).is_parameter()
        };
        open.extend(read(step).into_iter().filter(outside));
        made_before.extend(made(step));
    }
    open.into_iter().collect()
}
