//! The bytes of a step: live named storages at every instruction boundary, and what a kernel may take beside them.
//!
//! Bytes are elements times size, views count nothing, nothing is rounded. The executor counts its real storages at the same
//! boundaries and must find the same figures.

use std::collections::BTreeMap;

use crate::walk::{Event, walk};
use crate::{Plan, Role, Slot, TensorId, TransferKind};

/// The state after one instruction or transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boundary {
    /// Index of the slot.
    pub slot: usize,
    /// The layer, for bodies of the block `layer`.
    pub layer: Option<u32>,
    /// Index of the instruction in its body; none for transfers.
    pub instruction: Option<usize>,
    /// Live named storages after it (and after what it frees), in bytes, static ones included.
    pub live: u64,
    /// The most that may have been allocated while it ran: live before, results, workspace.
    pub inside: u64,
}

/// The figures of a whole step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Static storages.
    pub statics: u64,
    /// Largest `live`.
    pub named_peak: u64,
    /// Largest `inside`.
    pub allocated_peak: u64,
}

/// Bytes of a role's static storages.
pub fn statics(plan: &Plan, role: &Role) -> u64 {
    role.statics
        .iter()
        .map(|&id| plan.copy_count(role, id) * plan.tensors[id.0 as usize].bytes())
        .sum()
}

/// Every boundary of one step of a role, in order.
pub fn boundaries<'p>(plan: &'p Plan, role: &'p Role) -> impl Iterator<Item = Boundary> + 'p {
    let size = |id: TensorId| plan.tensors[id.0 as usize].bytes();
    let mut live = statics(plan, role);
    let mut sent = BTreeMap::new();
    for slot in &role.slots {
        if let Slot::Start(transfer) = slot
            && transfer.kind == TransferKind::Send
        {
            sent.insert(transfer.token, size(transfer.tensor));
        }
    }
    walk(plan, role).filter_map(move |event| match event {
        Event::Run(visit, index, instr) => {
            let results: u64 = instr.outs.iter().map(|&id| size(id)).sum();
            let inside = live + results + instr.workspace;
            live += results;
            live -= instr.frees.iter().map(|&id| size(id)).sum::<u64>();
            Some(Boundary {
                slot: visit.slot,
                layer: visit.layer,
                instruction: Some(index),
                live,
                inside,
            })
        }
        Event::Start(slot, transfer) => {
            live += if transfer.kind == TransferKind::Receive {
                size(transfer.tensor)
            } else {
                0
            };
            Some(Boundary {
                slot,
                layer: None,
                instruction: None,
                live,
                inside: live,
            })
        }
        Event::Wait(slot, token) => {
            let inside = live;
            live -= sent.get(&token).copied().unwrap_or(0);
            Some(Boundary {
                slot,
                layer: None,
                instruction: None,
                live,
                inside,
            })
        }
        Event::Enter(_) | Event::Leave(_) | Event::Mark(..) => None,
    })
}

/// The figures of one step of a role.
pub fn summary(plan: &Plan, role: &Role) -> Summary {
    let statics = statics(plan, role);
    let start = Summary {
        statics,
        named_peak: statics,
        allocated_peak: statics,
    };
    boundaries(plan, role).fold(start, |sum, at| Summary {
        statics,
        named_peak: sum.named_peak.max(at.live),
        allocated_peak: sum.allocated_peak.max(at.inside),
    })
}
