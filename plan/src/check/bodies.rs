//! Bodies by themselves: operands fit their operations, every local tensor has one value and one end.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::fault::{Faults, Place, What};
use crate::check::ops::signature;
use crate::{Body, Instr, Lives, Plan, TensorId};

/// Checks every body.
pub fn bodies(plan: &Plan, faults: &mut Faults) {
    for (index, body) in plan.bodies.iter().enumerate() {
        if body.id.0 as usize != index {
            faults.push(
                Place::body(&body.name),
                What::Index {
                    table: "bodies",
                    index,
                    id: body.id.0,
                },
            );
        }
        let before = faults.count();
        references(plan, body, faults);
        if faults.count() == before {
            Lifetimes::new(plan, body, faults).check();
        }
    }
}

fn references(plan: &Plan, body: &Body, faults: &mut Faults) {
    let count = plan.tensors.len();
    let ports = body.ins.iter().chain(&body.outs).map(|port| port.tensor);
    let interface = ports
        .chain(body.saves.iter().copied())
        .chain(body.takes.iter().copied());
    for id in interface.filter(|id| id.0 as usize >= count) {
        faults.push(
            Place::body(&body.name),
            What::Unknown {
                table: "tensor",
                id: u64::from(id.0),
                count,
            },
        );
    }
    for (index, instr) in body.code.iter().enumerate() {
        let place = || Place {
            instruction: Some((index, instr.op.name())),
            ..Place::body(&body.name)
        };
        for id in operands(instr).filter(|id| id.0 as usize >= count) {
            faults.push(
                place(),
                What::Unknown {
                    table: "tensor",
                    id: u64::from(id.0),
                    count,
                },
            );
        }
        if let Some(group) = instr
            .op
            .group()
            .filter(|group| group.0 as usize >= plan.groups.len())
        {
            let (id, count) = (u64::from(group.0), plan.groups.len());
            faults.push(
                place(),
                What::Unknown {
                    table: "group",
                    id,
                    count,
                },
            );
        }
    }
}

fn operands(instr: &Instr) -> impl Iterator<Item = TensorId> {
    [&instr.ins, &instr.updates, &instr.outs, &instr.frees]
        .into_iter()
        .flatten()
        .copied()
}

/// What the names of a body stand for while its code is walked.
struct Lifetimes<'p, 'f> {
    plan: &'p Plan,
    body: &'p Body,
    faults: &'f mut Faults,
    /// Names that ever had a value.
    made: BTreeSet<TensorId>,
    /// Names that have one now.
    live: BTreeSet<TensorId>,
    place: Place,
}

impl<'p, 'f> Lifetimes<'p, 'f> {
    fn new(plan: &'p Plan, body: &'p Body, faults: &'f mut Faults) -> Self {
        let place = Place::body(&body.name);
        Lifetimes {
            plan,
            body,
            faults,
            made: BTreeSet::new(),
            live: BTreeSet::new(),
            place,
        }
    }

    fn check(mut self) {
        let body = self.body;
        wires_once(body, self.faults);
        body.ins
            .iter()
            .for_each(|port| self.define("receives", port.tensor));
        body.takes.iter().for_each(|&id| self.define("takes", id));
        for (index, instr) in body.code.iter().enumerate() {
            self.place.instruction = Some((index, instr.op.name()));
            self.run(instr);
        }
        self.place.instruction = None;
        body.saves.iter().for_each(|&id| self.end("saves", id));
        body.outs
            .iter()
            .for_each(|port| self.end("puts on a wire", port.tensor));
        for id in std::mem::take(&mut self.live) {
            self.fault(What::Leak {
                tensor: self.name(id),
            });
        }
    }

    fn run(&mut self, instr: &'p Instr) {
        match signature(self.plan, instr)
            .and_then(|signature| signature.fit(instr, &self.plan.tensors))
        {
            Ok(()) => {}
            Err(misfit) => self.fault(What::Operands(misfit)),
        }
        instr
            .ins
            .iter()
            .chain(&instr.updates)
            .for_each(|&id| self.read(id));
        let updates: BTreeSet<_> = instr.updates.iter().collect();
        if updates.len() != instr.updates.len() {
            self.fault(What::Redefined {
                tensor: self.name(instr.updates[0]),
            });
        }
        instr.outs.iter().for_each(|&id| self.define("makes", id));
        instr.frees.iter().for_each(|&id| self.end("frees", id));
    }

    fn name(&self, id: TensorId) -> String {
        self.plan.tensors[id.0 as usize].name.clone()
    }

    /// Whether a name can come and go by itself: views come and go with what they look at.
    fn local(&self, id: TensorId) -> bool {
        let tensor = &self.plan.tensors[id.0 as usize];
        tensor.lives == Lives::Local && tensor.view.is_none()
    }

    fn fault(&mut self, what: What) {
        self.faults.push(self.place.clone(), what);
    }

    fn read(&mut self, id: TensorId) {
        if self.plan.tensors[id.0 as usize].lives.is_layered() && self.body.block != "layer" {
            self.fault(What::NoLayer {
                tensor: self.name(id),
            });
        }
        let tensor = &self.plan.tensors[id.0 as usize];
        let storage = tensor.view.map_or(id, |view| view.base);
        if tensor.lives == Lives::Local && !self.live.contains(&storage) {
            self.fault(What::Undefined {
                tensor: self.name(id),
            });
        }
    }

    fn define(&mut self, does: &'static str, id: TensorId) {
        if !self.local(id) {
            return self.fault(What::NotLocal {
                does,
                tensor: self.name(id),
            });
        }
        if !self.made.insert(id) {
            self.fault(What::Redefined {
                tensor: self.name(id),
            });
        }
        self.live.insert(id);
    }

    fn end(&mut self, does: &'static str, id: TensorId) {
        if !self.local(id) {
            return self.fault(What::NotLocal {
                does,
                tensor: self.name(id),
            });
        }
        if !self.live.remove(&id) {
            self.fault(What::NotLive {
                does,
                tensor: self.name(id),
            });
        }
    }
}

/// A wire enters a body at most once and leaves it at most once.
fn wires_once(body: &Body, faults: &mut Faults) {
    for ports in [&body.ins, &body.outs] {
        let mut seen = BTreeMap::new();
        for port in ports {
            if seen.insert(port.wire, port.tensor).is_some() {
                let what = What::SameName {
                    table: "port",
                    name: format!("{:?}", port.wire),
                };
                faults.push(Place::body(&body.name), what);
            }
        }
    }
}
