//! Discrete-event simulation of one step: a priced plan in, the step's time and what filled it out.
//!
//! One process stands for all ranks of a stage, as members of a role do the same at the same time. Transfers run beside the
//! computation, with some engines collectives over replicas too ([`beside`]), collectives of the whole world join the stages, and ranks that share a machine's cores slow each other down.
//! [`actions`] turns slots into timed actions, [`clock`] runs them. All times are integer picoseconds, so a plan has one answer.

pub mod actions;
pub mod beside;
pub mod clock;
pub mod inline;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;

use crate::cost::{Class, Costs};

pub use clock::Stuck;

/// How much detail is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Calls as wholes: for the search.
    Calls,
    /// Every instruction, with its span: for traces.
    Instructions,
}

/// Where in a role's program something happens: the identity that traces, ledgers and messages share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Index of the slot.
    pub slot: usize,
    /// The layer, for bodies of the block `layer`.
    pub layer: Option<u32>,
    /// Index of the instruction in its body; none for calls as wholes and for transfers.
    pub instruction: Option<usize>,
}

/// What runs on a stage for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The stage.
    pub stage: u32,
    /// Which instruction or transfer.
    pub place: Place,
    /// Beginning, in picoseconds since the step began.
    pub start: u64,
    /// End.
    pub end: u64,
    /// What it occupied.
    pub class: Class,
    /// Whether it runs beside the instructions: a transfer between stages, or a collective over replicas.
    pub transfer: bool,
}

/// What filled a stage's step; the four sum to the step's time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoleTime {
    /// Forward and backward.
    pub compute: u64,
    /// Collectives, and transfers that were waited for.
    pub communication: u64,
    /// Waiting for other stages.
    pub bubble: u64,
    /// Zeroing, norms and updates: what is done once a step.
    pub optimizer: u64,
}

/// A simulated step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simulation {
    /// From the first instruction to the last of any stage, in picoseconds.
    pub step: u64,
    /// For each stage.
    pub roles: Vec<RoleTime>,
    /// The time line, where it was asked for.
    pub spans: Vec<Span>,
}

impl Simulation {
    /// The same with every time multiplied.
    fn times(mut self, factor: f64) -> Self {
        if factor == 1.0 {
            return self;
        }
        let scale = |time: &mut u64| *time = libm::round(*time as f64 * factor) as u64;
        scale(&mut self.step);
        for role in &mut self.roles {
            let parts = [
                &mut role.compute,
                &mut role.communication,
                &mut role.bubble,
                &mut role.optimizer,
            ];
            parts.into_iter().for_each(scale);
        }
        for span in &mut self.spans {
            scale(&mut span.start);
            scale(&mut span.end);
        }
        self
    }

    /// The mean over stages of what filled the step.
    pub fn mean(&self) -> RoleTime {
        let count = self.roles.len().max(1) as u64;
        let mean = |part: fn(&RoleTime) -> u64| self.roles.iter().map(part).sum::<u64>() / count;
        RoleTime {
            compute: mean(|role| role.compute),
            communication: mean(|role| role.communication),
            bubble: mean(|role| role.bubble),
            optimizer: mean(|role| role.optimizer),
        }
    }
}

/// Simulates one step.
///
/// # Errors
/// The stages wait for each other for ever: the plan is wrong.
pub fn run(costs: &Costs<'_>, detail: Detail) -> Result<Simulation, Stuck> {
    let program = actions::Program::of(costs, detail);
    let simulation = clock::run(&program, detail == Detail::Instructions)?;
    Ok(simulation.times(costs.hardware().time_factor()))
}

/// Picoseconds in which a global batch is measured: all forwards with the transfers between them, and nothing that trains.
///
/// # Errors
/// The stages wait for each other for ever: the plan is wrong.
pub fn measuring(costs: &Costs<'_>) -> Result<u64, Stuck> {
    let simulation = clock::run(&actions::Program::measuring(costs), false)?;
    Ok(simulation.times(costs.hardware().time_factor()).step)
}
