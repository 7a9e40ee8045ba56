//! Unrolls a role: every interpreter walks a step in this one order.
//!
//! In comes a plan and one of its roles, out come events: bodies entered and left for each layer, instructions, transfers, marks.
//! `(slot, layer, instruction)` is the identity of an instruction in traces, ledgers and messages alike.

use std::collections::BTreeSet;

use crate::{Body, BodyKind, Call, Instr, Mark, Plan, Role, Slot, Transfer, Wire};

/// One body's execution for one layer (or its block) and one micro-batch.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'p> {
    /// Index of the slot that calls.
    pub slot: usize,
    /// The layer, for bodies of the block `layer`.
    pub layer: Option<u32>,
    /// The micro-batch.
    pub micro_batch: u32,
    /// What runs.
    pub body: &'p Body,
}

/// What happens next in a step.
#[derive(Clone, Copy, Debug)]
pub enum Event<'p> {
    /// A body begins: wires are bound and the frame is taken.
    Enter(Visit<'p>),
    /// An instruction of the body that was entered last.
    Run(Visit<'p>, usize, &'p Instr),
    /// The body ends: the frame is written and wires are filled.
    Leave(Visit<'p>),
    /// A transfer begins.
    Start(usize, &'p Transfer),
    /// A transfer is waited for.
    Wait(usize, u32),
    /// A mark.
    Mark(usize, Mark),
}

/// One step of a role, in order.
pub fn walk<'p>(plan: &'p Plan, role: &'p Role) -> impl Iterator<Item = Event<'p>> {
    let slots = role.slots.iter().enumerate();
    slots.flat_map(move |(index, slot)| unrolled(plan, index, slot))
}

fn unrolled<'p>(
    plan: &'p Plan,
    index: usize,
    slot: &'p Slot,
) -> Box<dyn Iterator<Item = Event<'p>> + 'p> {
    match slot {
        Slot::Call(call) => Box::new(visits(plan, index, call).flat_map(events)),
        Slot::Start(transfer) => Box::new(std::iter::once(Event::Start(index, transfer))),
        Slot::Wait(token) => Box::new(std::iter::once(Event::Wait(index, *token))),
        Slot::Mark(mark) => Box::new(std::iter::once(Event::Mark(index, *mark))),
    }
}

/// What of a step measures its loss and changes no parameter: the report is cleared, all forwards run with the transfers between
/// them, and the report is summed. Nothing takes the frames that forwards leave.
pub fn measure<'p>(plan: &'p Plan, role: &'p Role) -> impl Iterator<Item = Event<'p>> {
    let measured = measured(plan, role);
    let slots = role.slots.iter().enumerate();
    slots
        .filter(move |(_, slot)| measured(slot))
        .flat_map(move |(index, slot)| unrolled(plan, index, slot))
}

/// Which slots of a role are those of [`measure`].
pub fn measured<'p>(plan: &'p Plan, role: &'p Role) -> impl Fn(&Slot) -> bool + use<'p> {
    let gradients = role.slots.iter().filter_map(|slot| match slot {
        Slot::Start(transfer) if transfer.wire == Wire::Gradient => Some(transfer.token),
        _ => None,
    });
    let gradients: BTreeSet<u32> = gradients.collect();
    let of_step = |body: &Body| body.block == "step" && body.kind != BodyKind::Update;
    move |slot| match slot {
        Slot::Call(call) => {
            let body = &plan.bodies[call.body.0 as usize];
            body.kind == BodyKind::Forward || of_step(body)
        }
        Slot::Start(transfer) => transfer.wire == Wire::Hidden,
        Slot::Wait(token) => !gradients.contains(token),
        Slot::Mark(_) => false,
    }
}

/// The visits of a call: one for its block, or one for each layer in the direction of the body's kind.
pub fn visits<'p>(
    plan: &'p Plan,
    slot: usize,
    call: &Call,
) -> impl Iterator<Item = Visit<'p>> + use<'p> {
    let body = &plan.bodies[call.body.0 as usize];
    let micro_batch = call.micro_batch;
    let mut layers: Vec<Option<u32>> = match call.layers {
        Some([first, last]) => (first..=last).map(Some).collect(),
        None => vec![None],
    };
    if body.kind == BodyKind::Backward {
        layers.reverse();
    }
    layers.into_iter().map(move |layer| Visit {
        slot,
        layer,
        micro_batch,
        body,
    })
}

fn events<'p>(visit: Visit<'p>) -> impl Iterator<Item = Event<'p>> {
    let run = visit
        .body
        .code
        .iter()
        .enumerate()
        .map(move |(index, instr)| Event::Run(visit, index, instr));
    std::iter::once(Event::Enter(visit))
        .chain(run)
        .chain(std::iter::once(Event::Leave(visit)))
}
