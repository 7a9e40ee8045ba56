//! All ranks in one process: each goes on until it blocks, in turn, until the step is over or nobody can go on.

use std::collections::BTreeMap;

use super::Inputs;
use super::exchange::{Exchange, Met, Open};
use super::ops::Context;
use super::rank::Memory;
use super::stuck::{Spot, Stuck, Why};
use crate::walk::{Event, Visit, walk};
use crate::{Guard, Instr, Mark, Plan, Port, Rank, Slot, Transfer, TransferKind};

/// One rank and how far it is in the step.
pub struct Runner {
    /// What it holds.
    pub memory: Memory,
    /// What it held at the optimizer's mark, if that is wanted.
    pub snapshot: Option<Memory>,
    next: usize,
    open: BTreeMap<u32, Option<Open>>,
}

/// The ranks, what they run and what is between them.
pub struct Machine<'p> {
    plan: &'p Plan,
    /// Each role's events in order.
    programs: Vec<Vec<Event<'p>>>,
    /// All ranks.
    pub ranks: Vec<Runner>,
    exchange: Exchange,
    /// The scale of the step's loss, and the updates that were left out.
    pub guard: Guard,
}

/// Whether a rank could go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Passed,
    Arrived,
    Blocked,
}

impl<'p> Machine<'p> {
    /// Ranks that hold `memories`, in rank order.
    ///
    /// # Errors
    /// Calls of bodies that are not there.
    pub fn new(plan: &'p Plan, memories: Vec<Memory>) -> Result<Self, Stuck> {
        for role in &plan.roles {
            for (slot, entry) in role.slots.iter().enumerate() {
                if matches!(entry, Slot::Call(call) if call.body.0 as usize >= plan.bodies.len()) {
                    let rank = plan.mesh.rank(Rank {
                        dp: 0,
                        pp: role.stage,
                        tp: 0,
                    });
                    let spot = Spot {
                        rank,
                        slot,
                        ..Spot::default()
                    };
                    return Err(Stuck::new(spot, Why::Missing("a body".to_owned())));
                }
            }
        }
        let programs = plan
            .roles
            .iter()
            .map(|role| walk(plan, role).collect())
            .collect();
        let fresh = |memory| Runner {
            memory,
            snapshot: None,
            next: 0,
            open: BTreeMap::new(),
        };
        Ok(Machine {
            plan,
            programs,
            ranks: memories.into_iter().map(fresh).collect(),
            exchange: Exchange::default(),
            guard: Guard::new(plan.training.scaling.as_ref()),
        })
    }

    /// Runs one step on all ranks.
    ///
    /// # Errors
    /// The first rank that gets stuck, or all of them.
    pub fn step(&mut self, inputs: &Inputs, step: u64) -> Result<(), Stuck> {
        loop {
            let mut moved = false;
            for rank in 0..self.ranks.len() {
                moved |= self.advance(rank, inputs, step)?;
            }
            if (0..self.ranks.len()).all(|rank| self.event(rank).is_none()) {
                break;
            }
            if !moved {
                let standing = (0..self.ranks.len()).filter(|&rank| self.event(rank).is_some());
                let standing = standing.map(|rank| self.spot(rank).to_string()).collect();
                return Err(Stuck::new(Spot::default(), Why::Deadlock(standing)));
            }
        }
        for index in 0..self.ranks.len() {
            let spot = Spot {
                rank: index as u32,
                ..Spot::default()
            };
            let rank = &mut self.ranks[index];
            rank.next = 0;
            if rank.open.values().any(Option::is_some) {
                return Err(Stuck::new(spot, Why::StepLeftover("a transfer")));
            }
            rank.open.clear();
            rank.memory.end().map_err(|why| Stuck::new(spot, why))?;
        }
        self.exchange
            .end()
            .map_err(|why| Stuck::new(Spot::default(), why))
    }

    fn event(&self, rank: usize) -> Option<Event<'p>> {
        let stage = self.plan.mesh.place(rank as u32).pp as usize;
        self.programs[stage].get(self.ranks[rank].next).copied()
    }

    fn spot(&self, rank: usize) -> Spot {
        let blank = Spot {
            rank: rank as u32,
            ..Spot::default()
        };
        let inside = |visit: Visit| Spot {
            slot: visit.slot,
            layer: visit.layer,
            body: visit.body.name.clone(),
            ..blank.clone()
        };
        match self.event(rank) {
            Some(Event::Run(visit, index, _)) => Spot {
                instruction: Some(index),
                ..inside(visit)
            },
            Some(Event::Enter(visit) | Event::Leave(visit)) => inside(visit),
            Some(Event::Start(slot, _) | Event::Wait(slot, _) | Event::Mark(slot, _)) => {
                Spot { slot, ..blank }
            }
            None => blank,
        }
    }

    /// Goes on with one rank until it blocks or its step is over; says whether anything happened.
    fn advance(&mut self, rank: usize, inputs: &Inputs, step: u64) -> Result<bool, Stuck> {
        let mut moved = false;
        while let Some(event) = self.event(rank) {
            let turn = self.turn(rank, event, inputs, step);
            match turn.map_err(|why| Stuck::new(self.spot(rank), why))? {
                Turn::Passed => self.ranks[rank].next += 1,
                Turn::Arrived => return Ok(true),
                Turn::Blocked => return Ok(moved),
            }
            moved = true;
        }
        Ok(moved)
    }

    fn turn(
        &mut self,
        rank: usize,
        event: Event<'p>,
        inputs: &Inputs,
        step: u64,
    ) -> Result<Turn, Why> {
        let (plan, runner) = (self.plan, &mut self.ranks[rank]);
        match event {
            Event::Enter(visit) => runner.memory.enter(plan, &visit)?,
            Event::Leave(visit) => runner.memory.leave(plan, &visit)?,
            Event::Run(visit, _, instr) if instr.op.group().is_some() => {
                return self.collective(rank, &visit, instr);
            }
            Event::Run(visit, _, instr) => {
                let context = Context {
                    mesh: plan.mesh,
                    place: plan.mesh.place(rank as u32),
                    step,
                    micro_batch: visit.micro_batch,
                    layer: visit.layer,
                    training: &plan.training,
                    tokens: inputs.tokens,
                    guard: self.guard,
                };
                runner.memory.run(plan, &visit, instr, &context)?;
            }
            Event::Start(_, transfer) => self.start(rank, transfer)?,
            Event::Wait(_, token) => return self.wait(rank, token),
            Event::Mark(_, mark) => {
                let program = &self.programs[plan.mesh.place(rank as u32).pp as usize];
                let ends = [(Mark::StepBegin, 0), (Mark::StepEnd, program.len() - 1)];
                if ends
                    .iter()
                    .any(|&(end, index)| mark == end && runner.next != index)
                {
                    return Err(Why::Order(vec![mark]));
                }
                if mark == Mark::Optimizer && inputs.gradients {
                    runner.snapshot = Some(runner.memory.clone());
                }
                runner.memory.mark(mark)?;
            }
        }
        Ok(Turn::Passed)
    }

    fn collective(&mut self, rank: usize, visit: &Visit, instr: &Instr) -> Result<Turn, Why> {
        let plan = self.plan;
        let id = instr
            .op
            .group()
            .ok_or_else(|| Why::Missing("a group".to_owned()))?;
        let group = plan
            .groups
            .get(id.0 as usize)
            .ok_or_else(|| Why::Missing(format!("group {}", id.0)))?;
        let members = plan.mesh.members(group, rank as u32);
        if members.is_empty() {
            return Err(Why::Missing("its own group".to_owned()));
        }
        let memory = &mut self.ranks[rank].memory;
        let met = self
            .exchange
            .meet(rank as u32, (id, members), &instr.op, || {
                memory.given(plan, visit, instr)
            })?;
        match met {
            Met::Result(value) => memory.got(plan, visit, instr, value).map(|()| Turn::Passed),
            Met::Arrived => Ok(Turn::Arrived),
            Met::Waiting => Ok(Turn::Blocked),
        }
    }

    fn start(&mut self, rank: usize, transfer: &Transfer) -> Result<(), Why> {
        let (mesh, own) = (self.plan.mesh, rank as u32);
        if transfer.peer >= mesh.pp {
            return Err(Why::Missing(format!("stage {}", transfer.peer)));
        }
        let peer = mesh.rank(Rank {
            pp: transfer.peer,
            ..mesh.place(own)
        });
        let port = Port {
            wire: transfer.wire,
            tensor: transfer.tensor,
        };
        let (channel, value) = match transfer.kind {
            TransferKind::Send => (
                (own, peer, transfer.wire),
                Some(
                    self.ranks[rank]
                        .memory
                        .sent(self.plan, port, transfer.micro_batch)?,
                ),
            ),
            TransferKind::Receive => ((peer, own, transfer.wire), None),
        };
        let tensor = self.plan.tensors.get(port.tensor.0 as usize);
        let shape = tensor.map(|tensor| (&tensor.dims, tensor.dtype));
        let label = format!(
            "{:?} of micro-batch {} from chunk {} as {shape:?}",
            transfer.wire, transfer.micro_batch, transfer.chunk
        );
        let open = self.exchange.post(channel, transfer, value, label)?;
        if peer == own
            || self.ranks[rank]
                .open
                .insert(transfer.token, Some(open))
                .is_some()
        {
            return Err(Why::Token(transfer.token));
        }
        Ok(())
    }

    fn wait(&mut self, rank: usize, token: u32) -> Result<Turn, Why> {
        let runner = &mut self.ranks[rank];
        let slot = runner.open.get_mut(&token).ok_or(Why::Token(token))?;
        let open = slot.as_ref().ok_or(Why::Token(token))?;
        let Some(value) = self.exchange.complete(open) else {
            return Ok(Turn::Blocked);
        };
        if let Some((open, value)) = slot.take().zip(value) {
            let port = Port {
                wire: open.transfer.wire,
                tensor: open.transfer.tensor,
            };
            runner
                .memory
                .receive(self.plan, port, open.transfer.micro_batch, value)?;
        }
        Ok(Turn::Passed)
    }
}
