//! Mutations of a stage's slots: calls, transfers, waits and marks.

use pleach_plan::{BodyId, Plan, Slot, TransferKind, Wire};

use crate::bodies::Mutation;
use crate::random::Random;

/// All of them by name.
pub const MUTATIONS: [(&str, Mutation); 8] = [
    ("drop a slot", drop_slot),
    ("duplicate a slot", duplicate_slot),
    ("swap neighbouring slots", swap_neighbours),
    ("move a slot", move_slot),
    ("swap two slots", swap_any),
    ("change a micro-batch", change_micro_batch),
    ("change a call", change_call),
    ("change a transfer", change_transfer),
];

fn slots<'p>(plan: &'p mut Plan, random: &mut Random) -> &'p mut Vec<Slot> {
    let stage = random.below(plan.roles.len());
    &mut plan.roles[stage].slots
}

fn drop_slot(plan: &mut Plan, random: &mut Random) -> Option<()> {
    let slots = slots(plan, random);
    slots.remove(random.below(slots.len()));
    Some(())
}

fn duplicate_slot(plan: &mut Plan, random: &mut Random) -> Option<()> {
    let slots = slots(plan, random);
    let index = random.below(slots.len());
    slots.insert(index, slots[index].clone());
    Some(())
}

fn swap_neighbours(plan: &mut Plan, random: &mut Random) -> Option<()> {
    let slots = slots(plan, random);
    let index = random.below(slots.len() - 1);
    slots.swap(index, index + 1);
    Some(())
}

fn move_slot(plan: &mut Plan, random: &mut Random) -> Option<()> {
    let slots = slots(plan, random);
    let moved = slots.remove(random.below(slots.len()));
    slots.insert(random.below(slots.len() + 1), moved);
    Some(())
}

fn swap_any(plan: &mut Plan, random: &mut Random) -> Option<()> {
    let slots = slots(plan, random);
    let (first, second) = (random.below(slots.len()), random.below(slots.len()));
    (slots[first] != slots[second]).then(|| slots.swap(first, second))
}

fn change_micro_batch(plan: &mut Plan, random: &mut Random) -> Option<()> {
    let count = plan.training.micro_steps as usize + 1;
    let slots = slots(plan, random);
    let index = random.below(slots.len());
    let other = random.below(count) as u32;
    let micro_batch = match &mut slots[index] {
        Slot::Call(call) => &mut call.micro_batch,
        Slot::Start(transfer) => &mut transfer.micro_batch,
        _ => return None,
    };
    (std::mem::replace(micro_batch, other) != other).then_some(())
}

/// Another body, or other layers.
fn change_call(plan: &mut Plan, random: &mut Random) -> Option<()> {
    let bodies = plan.bodies.len();
    let slots = slots(plan, random);
    let index = random.below(slots.len());
    let Slot::Call(call) = &mut slots[index] else {
        return None;
    };
    let before = call.clone();
    match (random.coin(), &mut call.layers) {
        (true, Some([first, last])) => match random.coin() {
            true if first < last => *first += 1,
            _ if first < last => *last -= 1,
            _ => *last += 1,
        },
        _ => call.body = BodyId(random.below(bodies) as u32),
    }
    (*call != before).then_some(())
}

fn change_transfer(plan: &mut Plan, random: &mut Random) -> Option<()> {
    let stages = plan.mesh.pp;
    let slots = slots(plan, random);
    let waits: Vec<usize> = (0..slots.len())
        .filter(|&index| matches!(slots[index], Slot::Start(_) | Slot::Wait(_)))
        .collect();
    if waits.is_empty() {
        return None;
    }
    match &mut slots[random.pick(&waits)] {
        Slot::Wait(token) => *token = random.below(8) as u32,
        Slot::Start(transfer) => match random.below(4) {
            0 => transfer.token = random.below(8) as u32,
            1 => transfer.peer = random.below(stages as usize + 1) as u32,
            2 => {
                transfer.wire = if transfer.wire == Wire::Hidden {
                    Wire::Gradient
                } else {
                    Wire::Hidden
                }
            }
            _ => {
                let send = transfer.kind == TransferKind::Send;
                transfer.kind = if send {
                    TransferKind::Receive
                } else {
                    TransferKind::Send
                };
            }
        },
        _ => return None,
    }
    Some(())
}
