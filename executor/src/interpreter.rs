//! The interpreter: walks a role's step and does what it says.
//!
//! In comes a plan's role and what connects a rank to the world; a step changes the static tensors and leaves the report.
//! Every instruction is the same few moves: look up operands, run the operation, check its results against the plan, name
//! them, free what ends. Observers see each instruction begin and end.

use std::collections::{BTreeSet, HashMap};

use pleach_plan::walk::{Event, Visit, measure, walk};
use pleach_plan::{
    BodyKind, Guard, Instr, Lives, Mark, Op, Plan, Rank, Role, Slot, TensorId, Transfer,
    TransferKind, Wire,
};
use tch::{Device, Tensor};

use crate::collectives::Collectives;
use crate::data::Samples;
use crate::early::Ahead;
use crate::error::{Cause, Failure};
use crate::held::{Flight, Held};
use crate::native::memory::storage;
use crate::ops::{self, Context, Operands, adam_w, dropout, split_heads, tokens};
use crate::place::{Place, What};
use crate::sequences;
use crate::statics::{Statics, dims, kind};
use crate::weights;

/// Sees a step happen.
pub trait Observer {
    /// An instruction or transfer begins.
    fn begin(&mut self, place: &Place<'_>, memory: &dyn Memory);

    /// It has ended, and what it frees is freed.
    fn end(&mut self, place: &Place<'_>, memory: &dyn Memory);

    /// A mark is passed.
    fn mark(&mut self, mark: Mark) {
        let _ = mark;
    }
}

/// What a rank holds, as observers may ask.
pub trait Memory {
    /// Bytes of the distinct storages behind all named tensors, counted one by one.
    fn named_bytes(&self) -> u64;
}

/// What connects a rank to the world.
pub struct World<'w> {
    /// Where samples come from.
    pub samples: &'w mut dyn Samples,
    /// The other ranks.
    pub collectives: &'w mut dyn Collectives,
    /// Whether this is training: in inference dropout drops nothing, and the loss is the cross entropy alone.
    pub trains: bool,
    /// The scale of the step's loss, and the updates that were left out so far.
    pub guard: Guard,
}

/// One rank of a plan.
pub struct Interpreter<'p> {
    plan: &'p Plan,
    role: &'p Role,
    place: Rank,
    device: Device,
    statics: Statics,
    static_bytes: u64,
    held: Held<'p>,
    tables: split_heads::Tables,
    transfers: HashMap<u32, &'p Transfer>,
    ahead: Ahead<'p>,
    peak: u64,
}

impl Memory for Interpreter<'_> {
    fn named_bytes(&self) -> u64 {
        let all: BTreeSet<_> = self
            .statics
            .all()
            .map(storage)
            .chain(self.held.storages())
            .collect();
        all.iter().map(|storage| storage.bytes).sum()
    }
}

impl<'p> Interpreter<'p> {
    /// Allocates what the rank's role holds on its device; parameters are zero until they are initialised or resumed.
    ///
    /// # Errors
    /// No memory, or tensors that do not fit each other.
    pub fn new(plan: &'p Plan, rank: u32, device: Device) -> Result<Self, Cause> {
        let place = plan.mesh.place(rank);
        let role = &plan.roles[place.pp as usize];
        let statics = Statics::new(plan, role, device)?;
        let storages: BTreeSet<_> = statics.all().map(storage).collect();
        let static_bytes = storages.iter().map(|storage| storage.bytes).sum();
        let transfers = role.slots.iter().filter_map(|slot| match slot {
            Slot::Start(transfer) => Some((transfer.token, transfer)),
            _ => None,
        });
        Ok(Self {
            plan,
            role,
            place,
            device,
            statics,
            static_bytes,
            held: Held::new(plan),
            tables: split_heads::Tables::of(plan, device)?,
            transfers: transfers.collect(),
            ahead: Ahead::new(plan, role),
            peak: static_bytes,
        })
    }

    /// The role this rank plays.
    pub fn role(&self) -> &'p Role {
        self.role
    }

    /// The static tensors.
    pub fn statics(&self) -> &Statics {
        &self.statics
    }

    /// Whether all weights that are kept from step to step are finite.
    ///
    /// # Errors
    /// libtorch's text.
    pub fn weights_are_finite(&self) -> Result<bool, Cause> {
        weights::are_finite(self.plan, self.role, &self.statics)
    }

    /// This rank's part of the sum of all parameters' squares.
    ///
    /// # Errors
    /// libtorch's text.
    pub fn squared_weights(&self) -> Result<f64, Cause> {
        weights::squares(self.plan, self.role, &self.statics)
    }

    /// The most bytes of named storages that were live at once so far.
    pub fn named_peak(&self) -> u64 {
        self.peak
    }

    /// Mean loss and squared gradient norm that the last step left behind.
    ///
    /// # Errors
    /// The plan's report is not on this rank.
    pub fn report(&self) -> Result<[f64; 2], Cause> {
        let report = self.statics.get(self.plan.report, None);
        let report = report.ok_or_else(|| Cause::State("this rank holds no report".to_owned()))?;
        Ok(ops::report::read(report)?)
    }

    /// Forgets everything but the static tensors: what a step that was stopped has left.
    pub fn reset(&mut self) {
        self.held = Held::new(self.plan);
    }

    /// Runs one step, counted from 0.
    ///
    /// # Errors
    /// The first failure, with its place.
    pub fn step(
        &mut self,
        step: u64,
        world: &mut World<'_>,
        observers: &mut [&mut dyn Observer],
    ) -> Result<(), Failure> {
        self.run(step, world, observers, |_, _, _| Ok(true))
    }

    /// Runs a step until `before` answers false for an instruction; it sees what is read and what is updated.
    ///
    /// # Errors
    /// The first failure, with its place.
    pub fn run(
        &mut self,
        step: u64,
        world: &mut World<'_>,
        observers: &mut [&mut dyn Observer],
        before: impl FnMut(&Visit<'p>, &Instr, [&[&Tensor]; 2]) -> Result<bool, Cause>,
    ) -> Result<(), Failure> {
        let events = walk(self.plan, self.role);
        self.follow(events, step, world, observers, before)
    }

    /// Measures the mean loss of a global batch without a change to any parameter: the samples are those that a step of that number
    /// would train on, of whatever the world deals.
    ///
    /// # Errors
    /// The first failure, with its place.
    pub fn measure(
        &mut self,
        step: u64,
        world: &mut World<'_>,
        observers: &mut [&mut dyn Observer],
    ) -> Result<f64, Failure> {
        for event in measure(self.plan, self.role) {
            let left = match event {
                Event::Leave(visit) if visit.body.kind == BodyKind::Forward => Some(visit),
                _ => None,
            };
            let event = std::iter::once(event);
            self.follow(event, step, world, observers, |_, _, _| Ok(true))?;
            left.iter().for_each(|visit| self.held.forget(visit));
        }
        let report = self.report();
        let [loss, _] = report.map_err(|cause| Failure::outside(&cause, "reading the report"))?;
        Ok(loss)
    }

    /// Does what events say, in their order.
    fn follow(
        &mut self,
        events: impl Iterator<Item = Event<'p>>,
        step: u64,
        world: &mut World<'_>,
        observers: &mut [&mut dyn Observer],
        mut before: impl FnMut(&Visit<'p>, &Instr, [&[&Tensor]; 2]) -> Result<bool, Cause>,
    ) -> Result<(), Failure> {
        for event in events {
            let Some(place) = self.place_of(&event) else {
                self.between(&event, step, observers)?;
                self.go_ahead(&event, step, world)?;
                continue;
            };
            let wrap = |cause: Cause| Failure::at(&cause, step, place.to_string());
            if let Event::Run(visit, _, instr) = &event {
                let [ins, updates] =
                    [&instr.ins, &instr.updates].map(|ids| self.operands(ids, visit));
                let go_on = ins.and_then(|ins| before(visit, instr, [&ins, &updates?]));
                if !go_on.map_err(wrap)? {
                    return Ok(());
                }
            }
            observers
                .iter_mut()
                .for_each(|observer| observer.begin(&place, self));
            let done = match event {
                Event::Run(visit, index, instr) => {
                    self.instruction(step, &visit, (index, instr), world)
                }
                Event::Start(_, transfer) => self.start(step, transfer, world),
                Event::Wait(_, token) => self.held.land(token),
                Event::Enter(_) | Event::Leave(_) | Event::Mark(..) => Ok(()),
            };
            done.map_err(wrap)?;
            self.peak = self.peak.max(self.static_bytes + self.held.live());
            observers
                .iter_mut()
                .for_each(|observer| observer.end(&place, self));
        }
        Ok(())
    }

    fn place_of(&self, event: &Event<'p>) -> Option<Place<'p>> {
        match *event {
            Event::Run(visit, index, instr) => Some(Place::instruction(&visit, index, instr)),
            Event::Start(slot, transfer) => Some(Place {
                slot,
                what: What::Start(transfer),
            }),
            Event::Wait(slot, token) => self.transfers.get(&token).map(|&transfer| Place {
                slot,
                what: What::Wait(transfer),
            }),
            Event::Enter(_) | Event::Leave(_) | Event::Mark(..) => None,
        }
    }

    /// Events that are no instruction: bodies' borders and marks.
    fn between(
        &mut self,
        event: &Event<'p>,
        step: u64,
        observers: &mut [&mut dyn Observer],
    ) -> Result<(), Failure> {
        let (done, visit) = match event {
            Event::Enter(visit) => (self.held.enter(visit), visit),
            Event::Leave(visit) => (self.held.leave(visit), visit),
            Event::Mark(_, mark) => {
                observers
                    .iter_mut()
                    .for_each(|observer| observer.mark(*mark));
                return Ok(());
            }
            Event::Wait(slot, token) => {
                let cause = Cause::State(format!(
                    "slot {slot} waits for transfer {token}, which never begins"
                ));
                return Err(Failure::at(&cause, step, format!("slot {slot}")));
            }
            Event::Run(..) | Event::Start(..) => return Ok(()),
        };
        done.map_err(|cause| {
            Failure::at(
                &cause,
                step,
                format!("{}, slot {}", visit.body.name, visit.slot),
            )
        })
    }

    fn operands(&self, ids: &[TensorId], visit: &Visit<'_>) -> Result<Vec<&Tensor>, Cause> {
        ids.iter()
            .map(|&id| self.operand(id, visit.layer))
            .collect()
    }

    fn operand(&self, id: TensorId, layer: Option<u32>) -> Result<&Tensor, Cause> {
        let described = &self.plan.tensors[id.0 as usize];
        let found = match described.lives {
            Lives::Local => self.held.local(id),
            Lives::Static | Lives::Layered | Lives::Kind(_) => self.statics.get(id, layer),
        };
        found.ok_or_else(|| Cause::State(format!("tensor `{}` is not held", described.name)))
    }

    fn instruction(
        &mut self,
        step: u64,
        visit: &Visit<'p>,
        (index, instr): (usize, &'p Instr),
        world: &mut World<'_>,
    ) -> Result<(), Cause> {
        if let Some(results) = self.ahead.ended((visit.slot, visit.layer), index)? {
            return self.name(instr, results);
        }
        let ins = self.operands(&instr.ins, visit)?;
        let updates = self.operands(&instr.updates, visit)?;
        let ends: Vec<bool> = instr
            .ins
            .iter()
            .map(|id| instr.frees.contains(id))
            .collect();
        let batch = self.batch(step, visit.micro_batch);
        let layer = visit.layer.filter(|_| world.trains);
        let draws = layer.map(|layer| dropout::Draws {
            seed: self.plan.training.seed,
            step,
            layer: layer.into(),
            sample: batch.first,
        });
        let mut context = Context {
            mesh: self.plan.mesh,
            place: self.place,
            device: self.device,
            samples: &mut *world.samples,
            collectives: &mut *world.collectives,
            tables: &self.tables,
            batch,
            update: adam_w::Step {
                number: step - world.guard.skipped.min(step),
                loss_scale: world.guard.scale,
                rate: self.plan.training.schedule.rate(step),
            },
            trains: world.trains,
            draws,
        };
        let operands = Operands {
            ins: &ins,
            updates: &updates,
            ends: &ends,
        };
        let results = match (&instr.op, &instr.outs[..]) {
            (Op::Zero {}, &[out]) => vec![self.fresh(out, ops::zero::run)?],
            (Op::Cast {}, &[out]) => {
                vec![self.fresh(out, |made| ops::cast::run(ins[0], made))?]
            }
            _ if self.plan.training.lanes.is_some() => {
                sequences::run(&instr.op, operands, &mut context)?
            }
            _ => ops::run(&instr.op, operands, &mut context)?,
        };
        self.name(instr, results)
    }

    /// Names an instruction's results, and lets go of what ends with it.
    fn name(&mut self, instr: &Instr, results: Vec<Tensor>) -> Result<(), Cause> {
        self.check_results(instr, &results)?;
        for (&id, result) in instr.outs.iter().zip(results) {
            self.held.define(id, result)?;
        }
        instr.frees.iter().try_for_each(|&id| self.held.free(id))
    }

    /// Begins what may begin at the end of a body.
    fn go_ahead(
        &mut self,
        event: &Event<'p>,
        step: u64,
        world: &mut World<'_>,
    ) -> Result<(), Failure> {
        let Event::Leave(visit) = event else {
            return Ok(());
        };
        for early in self.ahead.behind((visit.slot, visit.layer)) {
            let operands = early.instr.updates.iter().chain(&early.instr.ins);
            let begun = operands.take(1).try_for_each(|&id| {
                let operand = self.operand(id, early.at.1)?.shallow_clone();
                self.ahead.begin(&early, &operand, world.collectives)
            });
            let place = format!("{}, slot {}", visit.body.name, visit.slot);
            begun.map_err(|cause| Failure::at(&cause, step, place))?;
        }
        Ok(())
    }

    /// A new storage of the shape and type that the plan says, filled by a rule.
    fn fresh(
        &self,
        id: TensorId,
        fill: impl FnOnce(&Tensor) -> crate::native::Result<()>,
    ) -> Result<Tensor, Cause> {
        let described = &self.plan.tensors[id.0 as usize];
        let made = Tensor::f_empty(dims(described), (kind(described.dtype), self.device))?;
        fill(&made)?;
        Ok(made)
    }

    /// Which samples a micro-batch of this rank consists of.
    fn batch(&self, step: u64, micro_batch: u32) -> tokens::Batch {
        let training = &self.plan.training;
        let before = training.samples_before(self.plan.mesh.dp, self.place.dp, micro_batch);
        tokens::Batch::of(training, step, before)
    }

    fn check_results(&self, instr: &Instr, results: &[Tensor]) -> Result<(), Cause> {
        if results.len() != instr.outs.len() {
            return Err(Cause::State(format!(
                "{} results, the plan names {}",
                results.len(),
                instr.outs.len()
            )));
        }
        for (id, result) in instr.outs.iter().zip(results) {
            let described = &self.plan.tensors[id.0 as usize];
            if result.size() != dims(described) || result.kind() != kind(described.dtype) {
                return Err(Cause::State(format!(
                    "`{}` came out as {:?} {:?}, the plan says {:?} {:?}",
                    described.name,
                    result.size(),
                    result.kind(),
                    described.dims,
                    described.dtype
                )));
            }
        }
        Ok(())
    }

    fn start(
        &mut self,
        step: u64,
        transfer: &'p Transfer,
        world: &mut World<'_>,
    ) -> Result<(), Cause> {
        let peer = self.plan.mesh.rank(Rank {
            pp: transfer.peer,
            ..self.place
        });
        let tag = self.tag(step, transfer);
        let wire = (transfer.wire, transfer.micro_batch);
        let (tensor, begun) = match transfer.kind {
            TransferKind::Send => {
                let value = self.held.take_wire(wire)?.f_contiguous()?;
                let begun = world.collectives.send(&value, peer, tag)?;
                (value, begun)
            }
            TransferKind::Receive => {
                let described = &self.plan.tensors[transfer.tensor.0 as usize];
                let room = Tensor::f_empty(dims(described), (kind(described.dtype), self.device))?;
                let begun = world.collectives.receive(&room, peer, tag)?;
                (room, begun)
            }
        };
        self.held.fly(
            transfer.token,
            Flight {
                transfer: begun,
                tensor,
                kind: transfer.kind,
                wire,
            },
        );
        Ok(())
    }

    /// A number that both ends compute alike and that no other transfer between them has for a thousand steps.
    fn tag(&self, step: u64, transfer: &Transfer) -> u32 {
        let wires = 2;
        let wire = match transfer.wire {
            Wire::Hidden => 0,
            Wire::Gradient => 1,
        };
        let passes = self.plan.training.micro_steps * self.plan.chunk_count();
        let pass = transfer.chunk * self.plan.training.micro_steps + transfer.micro_batch;
        ((step % 1000) as u32 * passes + pass) * wires + wire
    }
}
