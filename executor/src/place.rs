//! Where in a step a rank is: the identity of an instruction, and how messages say it.

use std::fmt;

use pleach_plan::walk::Visit;
use pleach_plan::{Instr, Transfer, TransferKind, Wire};

/// What a rank is doing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place<'p> {
    /// Index of the slot.
    pub slot: usize,
    /// What runs there.
    pub what: What<'p>,
}

/// What runs at a place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What<'p> {
    /// An instruction of a body.
    Instruction {
        /// The body's name.
        body: &'p str,
        /// Its index in the body.
        index: usize,
        /// The instruction.
        instr: &'p Instr,
        /// The layer, for bodies of the block `layer`.
        layer: Option<u32>,
        /// The micro-batch.
        micro_batch: u32,
    },
    /// The beginning of a transfer.
    Start(&'p Transfer),
    /// Waiting for a transfer's end.
    Wait(&'p Transfer),
}

impl<'p> Place<'p> {
    /// An instruction's place.
    pub fn instruction(visit: &Visit<'p>, index: usize, instr: &'p Instr) -> Self {
        let Visit {
            slot,
            layer,
            micro_batch,
            body,
        } = *visit;
        Self {
            slot,
            what: What::Instruction {
                body: &body.name,
                index,
                instr,
                layer,
                micro_batch,
            },
        }
    }

    /// The operation's name, or the transfer's: `linear`, `send hidden`.
    pub fn name(&self) -> String {
        match self.what {
            What::Instruction { instr, .. } => instr.op.name().to_owned(),
            What::Start(transfer) | What::Wait(transfer) => transfer_name(transfer).to_owned(),
        }
    }

    /// The layer, where there is one.
    pub fn layer(&self) -> Option<u32> {
        match self.what {
            What::Instruction { layer, .. } => layer,
            What::Start(_) | What::Wait(_) => None,
        }
    }

    /// Its index in its body, for instructions.
    pub fn index(&self) -> Option<usize> {
        match self.what {
            What::Instruction { index, .. } => Some(index),
            What::Start(_) | What::Wait(_) => None,
        }
    }

    /// The micro-batch.
    pub fn micro_batch(&self) -> u32 {
        match self.what {
            What::Instruction { micro_batch, .. } => micro_batch,
            What::Start(transfer) | What::Wait(transfer) => transfer.micro_batch,
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peer = |transfer: &Transfer| match transfer.kind {
            TransferKind::Send => format!("to stage {}", transfer.peer),
            TransferKind::Receive => format!("from stage {}", transfer.peer),
        };
        match self.what {
            What::Instruction {
                body,
                index,
                instr,
                layer,
                ..
            } => {
                write!(
                    out,
                    "{body}[{index}] {}, slot {}",
                    instr.op.name(),
                    self.slot
                )?;
                layer.map_or(Ok(()), |layer| write!(out, ", layer {layer}"))?;
            }
            What::Start(transfer) => {
                write!(
                    out,
                    "start to {} {}, slot {}",
                    transfer_name(transfer),
                    peer(transfer),
                    self.slot
                )?;
            }
            What::Wait(transfer) => {
                write!(
                    out,
                    "wait for {} {}, slot {}",
                    transfer_name(transfer),
                    peer(transfer),
                    self.slot
                )?;
            }
        }
        write!(out, ", micro-batch {}", self.micro_batch())
    }
}

/// A transfer as the simulator's traces name it.
pub fn transfer_name(transfer: &Transfer) -> &'static str {
    match (transfer.kind, transfer.wire) {
        (TransferKind::Send, Wire::Hidden) => "send hidden",
        (TransferKind::Send, Wire::Gradient) => "send gradient",
        (TransferKind::Receive, Wire::Hidden) => "receive hidden",
        (TransferKind::Receive, Wire::Gradient) => "receive gradient",
    }
}
