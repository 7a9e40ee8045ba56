//! What a rank holds beside its static tensors: locals of the running body, frames, wires and transfers under way.
//!
//! Bytes are those of real storages: [`Held::live`] is kept up while values come and go, [`Held::storages`] looks at all of
//! them, so that two names for one storage cannot pass for two.

use std::collections::HashMap;

use pleach_plan::{Lives, Plan, TensorId, TransferKind, Wire};
use tch::Tensor;

use crate::collectives::Transfer;
use crate::error::Cause;
use crate::native::memory::{Storage, storage};
use crate::statics::dims;

/// A body's block, the layer for layers, the micro-batch.
pub type FrameKey<'p> = (&'p str, Option<u32>, u32);

/// A transfer that has begun.
pub struct Flight {
    /// Its handle.
    pub transfer: Box<dyn Transfer>,
    /// What travels.
    pub tensor: Tensor,
    /// Direction.
    pub kind: TransferKind,
    /// The wire it comes from or goes to.
    pub wire: (Wire, u32),
}

/// Values that come and go.
#[derive(Default)]
pub struct Held<'p> {
    locals: Vec<Option<Tensor>>,
    /// Parts of locals that have names of their own.
    views: HashMap<TensorId, Vec<&'p pleach_plan::Tensor>>,
    frames: HashMap<FrameKey<'p>, Vec<(TensorId, Tensor)>>,
    wires: HashMap<(Wire, u32), Tensor>,
    flights: HashMap<u32, Flight>,
    live: u64,
}

impl<'p> Held<'p> {
    /// Nothing held yet.
    pub fn new(plan: &'p Plan) -> Self {
        let mut views: HashMap<TensorId, Vec<_>> = HashMap::new();
        for tensor in plan
            .tensors
            .iter()
            .filter(|tensor| tensor.lives == Lives::Local)
        {
            if let Some(view) = tensor.view {
                views.entry(view.base).or_default().push(tensor);
            }
        }
        Self {
            views,
            locals: plan.tensors.iter().map(|_| None).collect(),
            ..Self::default()
        }
    }

    /// Bytes of all storages held.
    pub fn live(&self) -> u64 {
        self.live
    }

    /// A local of the running body.
    pub fn local(&self, id: TensorId) -> Option<&Tensor> {
        self.locals.get(id.0 as usize)?.as_ref()
    }

    /// Gives a name to a value whose storage is new, and their names to its parts.
    ///
    /// # Errors
    /// A part that does not fit it.
    pub fn define(&mut self, id: TensorId, value: Tensor) -> Result<(), Cause> {
        self.live += storage(&value).bytes;
        for part in self.views.get(&id).into_iter().flatten() {
            let offset = part.view.map_or(0, |view| view.offset);
            let view = value
                .f_narrow(0, offset as i64, part.elements() as i64)?
                .f_view(dims(part).as_slice())?;
            self.locals[part.id.0 as usize] = Some(view);
        }
        self.locals[id.0 as usize] = Some(value);
        Ok(())
    }

    /// Ends a local's storage.
    ///
    /// # Errors
    /// It is not held.
    pub fn free(&mut self, id: TensorId) -> Result<(), Cause> {
        let value = self.take_local(id)?;
        self.live -= storage(&value).bytes;
        for part in self.views.get(&id).into_iter().flatten() {
            self.locals[part.id.0 as usize] = None;
        }
        Ok(())
    }

    /// A body begins: its wires and its frame become locals.
    ///
    /// # Errors
    /// A wire is empty, or the frame lacks a tensor.
    pub fn enter(&mut self, visit: &pleach_plan::walk::Visit<'p>) -> Result<(), Cause> {
        let body = visit.body;
        for port in &body.ins {
            let value = self.take_wire((port.wire, visit.micro_batch))?;
            self.locals[port.tensor.0 as usize] = Some(value);
        }
        if body.takes.is_empty() {
            return Ok(());
        }
        let key = (body.block.as_str(), visit.layer, visit.micro_batch);
        let mut frame = self.frames.remove(&key).unwrap_or_default();
        for &id in &body.takes {
            let found = frame.iter().position(|(saved, _)| *saved == id);
            let at = found.ok_or_else(|| {
                Cause::State(format!("the frame of {key:?} has no tensor {}", id.0))
            })?;
            self.locals[id.0 as usize] = Some(frame.swap_remove(at).1);
        }
        if frame.is_empty() {
            Ok(())
        } else {
            Err(Cause::State(format!(
                "the frame of {key:?} was not taken whole"
            )))
        }
    }

    /// A body ends: it fills its frame and its wires, and nothing else stays.
    ///
    /// # Errors
    /// A value is missing, or one is left over.
    pub fn leave(&mut self, visit: &pleach_plan::walk::Visit<'p>) -> Result<(), Cause> {
        let body = visit.body;
        if !body.saves.is_empty() {
            let saved = body.saves.iter().map(|&id| Ok((id, self.take_local(id)?)));
            let frame = saved.collect::<Result<Vec<_>, Cause>>()?;
            self.frames
                .insert((body.block.as_str(), visit.layer, visit.micro_batch), frame);
        }
        for port in &body.outs {
            let value = self.take_local(port.tensor)?;
            self.wires.insert((port.wire, visit.micro_batch), value);
        }
        match self.locals.iter().position(Option::is_some) {
            None => Ok(()),
            Some(id) => Err(Cause::State(format!(
                "{} leaves tensor {id} behind",
                body.name
            ))),
        }
    }

    /// Lets go of what a body has left for its backward, where none follows.
    pub fn forget(&mut self, visit: &pleach_plan::walk::Visit<'p>) {
        let key = (visit.body.block.as_str(), visit.layer, visit.micro_batch);
        for (_, tensor) in self.frames.remove(&key).unwrap_or_default() {
            self.live -= storage(&tensor).bytes;
        }
    }

    /// Takes the value off a wire.
    ///
    /// # Errors
    /// There is none.
    pub fn take_wire(&mut self, wire: (Wire, u32)) -> Result<Tensor, Cause> {
        let empty = || {
            Cause::State(format!(
                "the wire {:?} of micro-batch {} is empty",
                wire.0, wire.1
            ))
        };
        self.wires.remove(&wire).ok_or_else(empty)
    }

    /// A transfer has begun; what is received counts from here.
    pub fn fly(&mut self, token: u32, flight: Flight) {
        if flight.kind == TransferKind::Receive {
            self.live += storage(&flight.tensor).bytes;
        }
        self.flights.insert(token, flight);
    }

    /// Waits for a transfer: what was sent ends here, what was received is on its wire.
    ///
    /// # Errors
    /// No such transfer, or the peer is gone.
    pub fn land(&mut self, token: u32) -> Result<(), Cause> {
        let missing = || Cause::State(format!("no transfer {token} is under way"));
        let mut flight = self.flights.remove(&token).ok_or_else(missing)?;
        flight.transfer.wait()?;
        match flight.kind {
            TransferKind::Send => self.live -= storage(&flight.tensor).bytes,
            TransferKind::Receive => drop(self.wires.insert(flight.wire, flight.tensor)),
        }
        Ok(())
    }

    /// Every storage held, once for each name it has.
    pub fn storages(&self) -> impl Iterator<Item = Storage> {
        let locals = self.locals.iter().flatten();
        let framed = self.frames.values().flatten().map(|(_, tensor)| tensor);
        let flying = self.flights.values().map(|flight| &flight.tensor);
        locals
            .chain(framed)
            .chain(self.wires.values())
            .chain(flying)
            .map(storage)
    }

    fn take_local(&mut self, id: TensorId) -> Result<Tensor, Cause> {
        let value = self.locals.get_mut(id.0 as usize).and_then(Option::take);
        value.ok_or_else(|| Cause::State(format!("tensor {} is not held", id.0)))
    }
}
