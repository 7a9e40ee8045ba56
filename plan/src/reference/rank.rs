//! One rank: what it holds, and what local instructions do to it.
//!
//! In come events of its role, out come changes of its storages. Whatever needs other ranks is decided in [`super::machine`].

use std::collections::{BTreeMap, BTreeSet};

use super::ops::{self, Context};
use super::stuck::Why;
use super::value::Value;
use crate::walk::Visit;
use crate::{BodyKind, Instr, Lives, Mark, Op, Plan, Port, Tensor, TensorId, Wire};

/// The frame of one block, layer and micro-batch.
type Frame = (String, Option<u32>, u32);

/// What one rank holds.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Static storages without views; layered ones by layer.
    pub statics: BTreeMap<(TensorId, Option<u32>), Vec<f64>>,
    /// The names of the body that runs.
    locals: BTreeMap<TensorId, Value>,
    /// Names of the body that runs that ever had a value.
    made: BTreeSet<TensorId>,
    frames: BTreeMap<Frame, BTreeMap<TensorId, Value>>,
    wires: BTreeMap<(Wire, u32), Value>,
    marks: Vec<Mark>,
}

fn tensor(plan: &Plan, id: TensorId) -> Result<&Tensor, Why> {
    plan.tensors
        .get(id.0 as usize)
        .ok_or_else(|| Why::Missing(format!("tensor {}", id.0)))
}

fn dims(tensor: &Tensor) -> Vec<usize> {
    tensor.dims.iter().map(|&size| size as usize).collect()
}

fn zeros(tensor: &Tensor) -> Value {
    Value::free(&dims(tensor), vec![0.0; tensor.elements() as usize])
}

/// The value under a declaration: shape and type must be what the plan says.
fn declared(tensor: &Tensor, mut value: Value) -> Result<Value, Why> {
    let dtype = *value.dtype.get_or_insert(tensor.dtype);
    if dtype == tensor.dtype && value.dims == dims(tensor) {
        return Ok(value);
    }
    Err(Why::Declared {
        name: tensor.name.clone(),
        declared: format!("{:?} {:?}", tensor.dims, tensor.dtype),
        found: format!("{:?} {dtype:?}", value.dims),
    })
}

impl Memory {
    /// The storage of a static tensor and where in it the tensor lies.
    fn storage(
        &self,
        tensor: &Tensor,
        layer: Option<u32>,
    ) -> Result<((TensorId, Option<u32>), usize), Why> {
        let layer = match tensor.lives {
            Lives::Static => None,
            Lives::Layered | Lives::Kind(_) if layer.is_some() => layer,
            _ => return Err(Why::Lifetime(tensor.name.clone())),
        };
        let (base, offset) = tensor
            .view
            .map_or((tensor.id, 0), |view| (view.base, view.offset as usize));
        let held = self
            .statics
            .get(&(base, layer))
            .ok_or_else(|| Why::Undefined(tensor.name.clone()))?;
        match offset + tensor.elements() as usize <= held.len() {
            true => Ok(((base, layer), offset)),
            false => Err(Why::Lifetime(tensor.name.clone())),
        }
    }

    /// An operand's value.
    fn read(&self, plan: &Plan, id: TensorId, layer: Option<u32>) -> Result<Value, Why> {
        let tensor = tensor(plan, id)?;
        if tensor.lives == Lives::Local {
            return self.local(tensor);
        }
        let (key, offset) = self.storage(tensor, layer)?;
        let data = self.statics[&key][offset..offset + tensor.elements() as usize].to_vec();
        Ok(Value {
            dims: dims(tensor),
            dtype: Some(tensor.dtype),
            data,
        })
    }

    /// A local, or a part of one.
    fn local(&self, tensor: &Tensor) -> Result<Value, Why> {
        let undefined = || Why::Undefined(tensor.name.clone());
        let Some(view) = tensor.view else {
            return self.locals.get(&tensor.id).cloned().ok_or_else(undefined);
        };
        let base = self.locals.get(&view.base).ok_or_else(undefined)?;
        let begin = view.offset as usize;
        let part = base.data.get(begin..begin + tensor.elements() as usize);
        let data = part.ok_or_else(|| Why::Lifetime(tensor.name.clone()))?;
        Ok(Value {
            dims: dims(tensor),
            dtype: Some(tensor.dtype),
            data: data.to_vec(),
        })
    }

    /// Changes a local, or a part of one.
    fn change(&mut self, tensor: &Tensor, value: Value) -> Result<(), Why> {
        let Some(view) = tensor.view else {
            self.locals.insert(tensor.id, value);
            return Ok(());
        };
        let undefined = || Why::Undefined(tensor.name.clone());
        let base = self.locals.get_mut(&view.base).ok_or_else(undefined)?;
        let begin = view.offset as usize;
        let part = base.data.get_mut(begin..begin + value.data.len());
        part.ok_or_else(|| Why::Lifetime(tensor.name.clone()))?
            .copy_from_slice(&value.data);
        Ok(())
    }

    fn write(
        &mut self,
        plan: &Plan,
        id: TensorId,
        layer: Option<u32>,
        value: Value,
    ) -> Result<(), Why> {
        let tensor = tensor(plan, id)?;
        let value = declared(tensor, value)?;
        if tensor.lives == Lives::Local {
            return self.change(tensor, value);
        }
        let (key, offset) = self.storage(tensor, layer)?;
        let storage = self
            .statics
            .get_mut(&key)
            .ok_or_else(|| Why::Undefined(tensor.name.clone()))?;
        storage[offset..offset + value.data.len()].copy_from_slice(&value.data);
        Ok(())
    }

    fn define(&mut self, plan: &Plan, id: TensorId, value: Value) -> Result<(), Why> {
        let tensor = tensor(plan, id)?;
        if tensor.lives != Lives::Local {
            return Err(Why::Lifetime(tensor.name.clone()));
        }
        if !self.made.insert(id) {
            return Err(Why::AssignedTwice(tensor.name.clone()));
        }
        self.locals.insert(id, declared(tensor, value)?);
        Ok(())
    }

    fn remove(&mut self, plan: &Plan, id: TensorId) -> Result<Value, Why> {
        let name = &tensor(plan, id)?.name;
        self.locals
            .remove(&id)
            .ok_or_else(|| Why::Undefined(name.clone()))
    }

    /// A body begins: wires are bound and the frame is taken.
    pub fn enter(&mut self, plan: &Plan, visit: &Visit) -> Result<(), Why> {
        let body = visit.body;
        let late = matches!(body.kind, BodyKind::Reduce | BodyKind::Update);
        let order = if late {
            vec![Mark::StepBegin, Mark::Optimizer]
        } else {
            vec![Mark::StepBegin]
        };
        if self.marks != order {
            return Err(Why::Order(self.marks.clone()));
        }
        if visit.micro_batch >= plan.training.micro_steps {
            return Err(Why::Missing(format!("micro-batch {}", visit.micro_batch)));
        }
        if visit.layer.is_some() != (body.block == "layer") {
            return Err(Why::Missing(format!(
                "layer {:?} of block {}",
                visit.layer, body.block
            )));
        }
        self.made.clear();
        for port in &body.ins {
            let value = self.unplug(port.wire, visit.micro_batch)?;
            self.define(plan, port.tensor, value)?;
        }
        if body.takes.is_empty() {
            return Ok(());
        }
        let mut frame = self.frames.remove(&frame(visit)).unwrap_or_default();
        for &id in &body.takes {
            let value = frame
                .remove(&id)
                .ok_or_else(|| Why::FrameMissing(body.block.clone()))?;
            self.define(plan, id, value)?;
        }
        match frame.is_empty() {
            true => Ok(()),
            false => Err(Why::FrameMissing(body.block.clone())),
        }
    }

    /// The body ends: the frame is written, wires are filled, and nothing may be left.
    pub fn leave(&mut self, plan: &Plan, visit: &Visit) -> Result<(), Why> {
        let body = visit.body;
        if !body.saves.is_empty() {
            let saved: Result<BTreeMap<TensorId, Value>, Why> = body
                .saves
                .iter()
                .map(|&id| Ok((id, self.remove(plan, id)?)))
                .collect();
            if self.frames.insert(frame(visit), saved?).is_some() {
                return Err(Why::FrameFull(body.block.clone()));
            }
        }
        for port in &body.outs {
            let value = self.remove(plan, port.tensor)?;
            self.plug(port, visit.micro_batch, value)?;
        }
        match self.locals.is_empty() {
            true => Ok(()),
            false => Err(Why::Leftover(
                self.locals
                    .keys()
                    .map(|id| plan.tensors[id.0 as usize].name.clone())
                    .collect(),
            )),
        }
    }

    /// Takes a wire's value away.
    pub fn unplug(&mut self, wire: Wire, micro_batch: u32) -> Result<Value, Why> {
        self.wires
            .remove(&(wire, micro_batch))
            .ok_or(Why::WireEmpty(wire, micro_batch))
    }

    fn plug(&mut self, port: &Port, micro_batch: u32, value: Value) -> Result<(), Why> {
        match self.wires.insert((port.wire, micro_batch), value) {
            None => Ok(()),
            Some(_) => Err(Why::WireFull(port.wire, micro_batch)),
        }
    }

    /// Puts a received value on its wire.
    pub fn receive(
        &mut self,
        plan: &Plan,
        port: Port,
        micro_batch: u32,
        value: Value,
    ) -> Result<(), Why> {
        let value = declared(tensor(plan, port.tensor)?, value)?;
        self.plug(&port, micro_batch, value)
    }

    /// Checks what is sent against its declaration.
    pub fn sent(&mut self, plan: &Plan, port: Port, micro_batch: u32) -> Result<Value, Why> {
        let value = self.unplug(port.wire, micro_batch)?;
        declared(tensor(plan, port.tensor)?, value)
    }

    /// Runs a local instruction.
    pub fn run(
        &mut self,
        plan: &Plan,
        visit: &Visit,
        instr: &Instr,
        at: &Context,
    ) -> Result<(), Why> {
        let read = |id: &TensorId| self.read(plan, *id, visit.layer);
        let ins: Vec<Value> = instr.ins.iter().map(read).collect::<Result<_, _>>()?;
        let mut updates: Vec<Value> = instr.updates.iter().map(read).collect::<Result<_, _>>()?;
        let outs = match (&instr.op, &instr.outs[..]) {
            (Op::Zero {}, &[out]) => vec![zeros(tensor(plan, out)?)],
            _ => ops::run(&instr.op, &ins, &mut updates, at)?,
        };
        self.finish(plan, visit, instr, updates, outs)
    }

    /// What this rank gives to a collective.
    pub fn given(&self, plan: &Plan, visit: &Visit, instr: &Instr) -> Result<Value, Why> {
        let wrong = || Why::Missing("an operand of a collective".to_owned());
        let operands = (instr.ins.len(), instr.updates.len(), instr.outs.len());
        if !matches!(operands, (1, 0, 1) | (0, 1, 0) | (1, 1, 0)) {
            return Err(wrong());
        }
        let id = instr
            .ins
            .first()
            .or(instr.updates.first())
            .ok_or_else(wrong)?;
        self.read(plan, *id, visit.layer)
    }

    /// Puts a collective's result where it belongs.
    pub fn got(
        &mut self,
        plan: &Plan,
        visit: &Visit,
        instr: &Instr,
        value: Value,
    ) -> Result<(), Why> {
        let (updates, outs) = if instr.updates.is_empty() {
            (vec![], vec![value])
        } else {
            (vec![value], vec![])
        };
        self.finish(plan, visit, instr, updates, outs)
    }

    fn finish(
        &mut self,
        plan: &Plan,
        visit: &Visit,
        instr: &Instr,
        updates: Vec<Value>,
        outs: Vec<Value>,
    ) -> Result<(), Why> {
        if (updates.len(), outs.len()) != (instr.updates.len(), instr.outs.len()) {
            return Err(Why::Missing(format!("{} results", outs.len())));
        }
        for (&id, value) in instr.updates.iter().zip(updates) {
            self.write(plan, id, visit.layer, value)?;
        }
        for (&id, value) in instr.outs.iter().zip(outs) {
            self.define(plan, id, value)?;
        }
        instr
            .frees
            .iter()
            .try_for_each(|&id| self.remove(plan, id).map(drop))
    }

    /// Acts upon a mark.
    pub fn mark(&mut self, mark: Mark) -> Result<(), Why> {
        let order = [Mark::StepBegin, Mark::Optimizer, Mark::StepEnd];
        self.marks.push(mark);
        match order.starts_with(&self.marks) {
            true => Ok(()),
            false => Err(Why::Order(self.marks.clone())),
        }
    }

    /// The step is over: nothing may be left, and the next one begins afresh.
    pub fn end(&mut self) -> Result<(), Why> {
        if self.marks.len() != 3 {
            return Err(Why::Order(self.marks.clone()));
        }
        self.marks.clear();
        match (self.frames.is_empty(), self.wires.is_empty()) {
            (true, true) => Ok(()),
            (false, _) => Err(Why::StepLeftover("a frame")),
            (_, false) => Err(Why::StepLeftover("a wire's value")),
        }
    }
}

fn frame(visit: &Visit) -> Frame {
    (visit.body.block.clone(), visit.layer, visit.micro_batch)
}
