//! Roles one by one: frames, wires, transfers, marks and statics over a whole step of one stage.
//!
//! What passes between calls is walked in the order of the slots, layer by layer, as every interpreter does.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::fault::{Faults, Place, What};
use crate::walk::{Visit, visits};
use crate::{
    Body, BodyKind, Lives, Mark, Plan, Port, Role, Slot, TensorId, Transfer, TransferKind, Wire,
};

/// Checks every role by itself.
pub fn roles(plan: &Plan, faults: &mut Faults) {
    let blocks: BTreeMap<&str, usize> = plan
        .bodies
        .iter()
        .map(|body| (body.block.as_str(), body.id.0 as usize))
        .collect();
    for role in &plan.roles {
        marks(role, faults);
        Step::new(plan, role, &blocks, faults).check();
    }
}

fn marks(role: &Role, faults: &mut Faults) {
    let marks = role
        .slots
        .iter()
        .enumerate()
        .filter_map(|(index, slot)| match slot {
            Slot::Mark(mark) => Some((index, *mark)),
            _ => None,
        });
    let (places, found): (Vec<usize>, Vec<Mark>) = marks.unzip();
    let order = found == [Mark::StepBegin, Mark::Optimizer, Mark::StepEnd];
    let ends =
        places.first() == Some(&0) && places.last() == Some(&(role.slots.len().saturating_sub(1)));
    if !(order && ends) {
        faults.push(
            Place {
                stage: Some(role.stage),
                ..Place::default()
            },
            What::Marks { found },
        );
    }
}

/// The frame of one block, layer and micro-batch.
type Frame = (usize, Option<u32>, u32);

/// What lies between calls while a step is walked.
struct Step<'p, 'f> {
    plan: &'p Plan,
    role: &'p Role,
    blocks: &'f BTreeMap<&'p str, usize>,
    faults: &'f mut Faults,
    statics: BTreeSet<TensorId>,
    frames: BTreeMap<Frame, &'p Body>,
    wires: BTreeMap<(Wire, u32), TensorId>,
    under_way: BTreeMap<u32, (usize, &'p Transfer)>,
    tokens: BTreeSet<u32>,
    optimizer: bool,
    place: Place,
}

impl<'p, 'f> Step<'p, 'f> {
    fn new(
        plan: &'p Plan,
        role: &'p Role,
        blocks: &'f BTreeMap<&'p str, usize>,
        faults: &'f mut Faults,
    ) -> Self {
        Step {
            plan,
            role,
            blocks,
            faults,
            statics: role.statics.iter().copied().collect(),
            frames: BTreeMap::new(),
            wires: BTreeMap::new(),
            under_way: BTreeMap::new(),
            tokens: BTreeSet::new(),
            optimizer: false,
            place: Place {
                stage: Some(role.stage),
                ..Place::default()
            },
        }
    }

    fn check(mut self) {
        self.held();
        let mut called = BTreeSet::new();
        for (index, slot) in self.role.slots.iter().enumerate() {
            self.place = Place::slot(self.role.stage, index);
            match slot {
                Slot::Mark(mark) => self.optimizer |= *mark == Mark::Optimizer,
                Slot::Start(transfer) => self.start(index, transfer),
                Slot::Wait(token) => self.wait(*token),
                Slot::Call(call) => {
                    let body = &self.plan.bodies[call.body.0 as usize];
                    if called.insert(call.body) {
                        self.uses(body);
                    }
                    self.call(body, call.micro_batch);
                    visits(self.plan, index, call).for_each(|visit| self.visit(&visit));
                }
            }
        }
        self.left();
    }

    fn fault(&mut self, what: What) {
        self.faults.push(self.place.clone(), what);
    }

    fn name(&self, id: TensorId) -> String {
        self.plan.tensors[id.0 as usize].name.clone()
    }

    fn shape(&self, id: TensorId) -> String {
        let tensor = &self.plan.tensors[id.0 as usize];
        format!("{:?} of {:?}", tensor.dims, tensor.dtype)
    }

    fn same_shape(&self, left: TensorId, right: TensorId) -> bool {
        let [left, right] = [left, right].map(|id| &self.plan.tensors[id.0 as usize]);
        left.dims == right.dims && left.dtype == right.dtype
    }

    /// The statics of a role are static, and each is held once.
    fn held(&mut self) {
        for &id in &self.role.statics {
            if self.plan.tensors[id.0 as usize].lives == Lives::Local {
                let tensor = self.name(id);
                self.fault(What::NotLocal {
                    does: "holds for the whole run",
                    tensor,
                });
            }
        }
        if self.statics.len() != self.role.statics.len() {
            self.fault(What::SameName {
                table: "statics",
                name: "(listed twice)".to_owned(),
            });
        }
    }

    /// Every static storage that a body touches is held by the stage.
    fn uses(&mut self, body: &'p Body) {
        let operands = body
            .code
            .iter()
            .flat_map(|instr| instr.ins.iter().chain(&instr.updates));
        for id in operands.copied().collect::<BTreeSet<_>>() {
            let tensor = &self.plan.tensors[id.0 as usize];
            let storage = tensor.view.map_or(id, |view| view.base);
            if tensor.lives != Lives::Local && !self.statics.contains(&storage) {
                let place = Place {
                    body: Some(body.name.clone()),
                    ..self.place.clone()
                };
                self.faults.push(
                    place,
                    What::Foreign {
                        tensor: tensor.name.clone(),
                    },
                );
            }
        }
    }

    fn call(&mut self, body: &'p Body, micro_batch: u32) {
        self.place.body = Some(body.name.clone());
        let steps = self.plan.training.micro_steps;
        if micro_batch >= steps {
            self.fault(What::Unknown {
                table: "micro-batch",
                id: u64::from(micro_batch),
                count: steps as usize,
            });
        }
        let late = matches!(body.kind, BodyKind::Reduce | BodyKind::Update);
        if late != self.optimizer {
            let side = if self.optimizer { "after" } else { "before" };
            self.fault(What::Phase {
                kind: body.kind,
                side,
            });
        }
    }

    fn visit(&mut self, visit: &Visit<'p>) {
        let body = visit.body;
        (self.place.layer, self.place.micro_batch) = (visit.layer, Some(visit.micro_batch));
        for port in &body.ins {
            self.take_wire(port, visit.micro_batch);
        }
        self.of_kind(visit);
        let frame = (
            self.blocks[body.block.as_str()],
            visit.layer,
            visit.micro_batch,
        );
        self.take_frame(frame, body);
        self.write_frame(frame, body);
        for port in &body.outs {
            self.fill_wire(port.wire, visit.micro_batch, port.tensor);
        }
    }

    /// What a body reads of a layer is there for layers of its kind.
    fn of_kind(&mut self, visit: &Visit<'p>) {
        let Some(layer) = visit.layer.filter(|_| !self.plan.kinds.is_empty()) else {
            return;
        };
        let code = visit.body.code.iter();
        let operands = code.flat_map(|instr| instr.ins.iter().chain(&instr.updates));
        let lives = |id: &&TensorId| self.plan.tensors[id.0 as usize].lives;
        let foreign = |id: &&TensorId| lives(id).is_layered() && !self.plan.has(layer, lives(id));
        if let Some(&id) = operands.into_iter().find(foreign) {
            let tensor = self.name(id);
            self.fault(What::Foreign { tensor });
        }
    }

    fn take_wire(&mut self, port: &Port, micro_batch: u32) {
        let Some(held) = self.wires.remove(&(port.wire, micro_batch)) else {
            return self.fault(What::WireEmpty {
                wire: port.wire,
                micro_batch,
            });
        };
        if !self.same_shape(held, port.tensor) {
            let (held, wanted) = (self.shape(held), self.shape(port.tensor));
            self.fault(What::WireShape {
                wire: port.wire,
                held,
                wanted,
            });
        }
    }

    fn fill_wire(&mut self, wire: Wire, micro_batch: u32, tensor: TensorId) {
        if self.wires.insert((wire, micro_batch), tensor).is_some() {
            self.fault(What::WireFull { wire, micro_batch });
        }
    }

    fn take_frame(&mut self, frame: Frame, body: &'p Body) {
        if body.takes.is_empty() {
            return;
        }
        let block = body.block.clone();
        let Some(writer) = self.frames.remove(&frame) else {
            return self.fault(What::FrameEmpty {
                block,
                takes: body.takes.len(),
            });
        };
        let [saved, taken] =
            [&writer.saves, &body.takes].map(|ids| ids.iter().copied().collect::<BTreeSet<_>>());
        if saved != taken {
            let names = |ids: &BTreeSet<TensorId>, others: &BTreeSet<TensorId>| {
                ids.difference(others).map(|&id| self.name(id)).collect()
            };
            let (saved, taken) = (names(&saved, &taken), names(&taken, &saved));
            self.fault(What::FrameContent {
                block,
                writer: writer.name.clone(),
                saved,
                taken,
            });
        }
    }

    fn write_frame(&mut self, frame: Frame, body: &'p Body) {
        if body.saves.is_empty() {
            return;
        }
        if let Some(before) = self.frames.insert(frame, body) {
            self.fault(What::FrameFull {
                block: body.block.clone(),
                writer: before.name.clone(),
            });
        }
    }

    fn start(&mut self, index: usize, transfer: &'p Transfer) {
        let pp = self.plan.mesh.pp;
        if transfer.peer >= pp || transfer.peer == self.role.stage {
            self.fault(What::Peer {
                peer: transfer.peer,
                pp,
            });
        }
        if !self.tokens.insert(transfer.token) {
            self.fault(What::TokenTwice {
                token: transfer.token,
            });
        }
        self.under_way.insert(transfer.token, (index, transfer));
        if transfer.kind == TransferKind::Send {
            let port = Port {
                wire: transfer.wire,
                tensor: transfer.tensor,
            };
            self.take_wire(&port, transfer.micro_batch);
        }
    }

    fn wait(&mut self, token: u32) {
        match self.under_way.remove(&token) {
            None => self.fault(What::TokenUnknown { token }),
            Some((_, transfer)) if transfer.kind == TransferKind::Receive => {
                self.fill_wire(transfer.wire, transfer.micro_batch, transfer.tensor);
            }
            Some(_) => {}
        }
    }

    /// Nothing is left when the step ends.
    fn left(mut self) {
        self.place = Place {
            stage: Some(self.role.stage),
            ..Place::default()
        };
        for ((wire, micro_batch), _) in std::mem::take(&mut self.wires) {
            self.fault(What::WireLeft { wire, micro_batch });
        }
        for (token, (slot, _)) in std::mem::take(&mut self.under_way) {
            self.place.slot = Some(slot);
            self.fault(What::TokenLeft { token });
        }
        self.place.slot = None;
        for ((_, layer, micro_batch), writer) in std::mem::take(&mut self.frames) {
            (self.place.layer, self.place.micro_batch) = (layer, Some(micro_batch));
            self.fault(What::FrameLeft {
                block: writer.block.clone(),
                writer: writer.name.clone(),
            });
        }
    }
}
