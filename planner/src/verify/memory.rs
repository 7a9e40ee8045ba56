//! The names of one stage while its step is walked: statics, the running body's locals, frames and wires.

use std::collections::BTreeMap;

use pleach_plan::walk::Visit;
use pleach_plan::{Bucket, Lives, Parameter, Plan, Role, Tensor, TensorId, Wire};

use super::held::{Flat, Held, Item, State};
use super::number::Number;
use super::rules::Site;

/// A storage of a stage: layered ones by layer.
pub type Key = (TensorId, Option<u32>);

/// The frame of one block, layer and micro-batch.
type Frame<'p> = (&'p str, Option<u32>, u32);

/// What one stage holds.
pub struct Memory<'p> {
    plan: &'p Plan,
    statics: BTreeMap<Key, Held>,
    /// By tensor id.
    locals: Vec<Option<Held>>,
    frames: BTreeMap<Frame<'p>, Vec<(TensorId, Held)>>,
    wires: BTreeMap<(Wire, u32), Held>,
}

/// Which storages of a bucket carry meaning from step to step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Weights.
    Weights,
    /// Master weights.
    Master,
    /// First moments.
    First,
    /// Second moments.
    Second,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 4] = [Kind::Weights, Kind::Master, Kind::First, Kind::Second];

    /// For messages.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Weights => "the weight",
            Kind::Master => "the master weight",
            Kind::First => "the first moment",
            Kind::Second => "the second moment",
        }
    }

    /// The storage in a bucket.
    pub fn of(self, bucket: &Bucket) -> Option<TensorId> {
        match self {
            Kind::Weights => Some(bucket.weights),
            Kind::Master => bucket.master,
            Kind::First => Some(bucket.m),
            Kind::Second => bucket.v,
        }
    }

    /// What it stands for before the step: master and weights hold the same numbers, rounded or not.
    pub fn symbol(self, name: &str) -> Number {
        match self {
            Kind::Weights | Kind::Master => Number::of("weight of", &[], &[text(name)]),
            Kind::First => Number::of("first moment of", &[], &[text(name)]),
            Kind::Second => Number::of("second moment of", &[], &[text(name)]),
        }
    }
}

fn text(name: &str) -> Number {
    Number::of(name, &[], &[])
}

/// A parameter's name with its layer filled in.
pub fn logical_name(parameter: &Parameter, layer: Option<u32>) -> String {
    match layer {
        Some(layer) => parameter.name.replace("{layer}", &layer.to_string()),
        None => parameter.name.clone(),
    }
}

/// The layers for which a role holds copies of a tensor: one nameless for static ones.
pub fn copies(plan: &Plan, role: &Role, id: TensorId) -> Vec<Option<u32>> {
    plan.copies(role, id)
}

/// A bucket's parameters by offset.
pub fn members(plan: &Plan, index: usize) -> Vec<(u64, &Parameter)> {
    let offset = |parameter: &Parameter| {
        plan.tensors[parameter.tensor.0 as usize]
            .view
            .map_or(0, |view| view.offset)
    };
    let members = plan
        .parameters
        .iter()
        .filter(|parameter| parameter.bucket == index);
    let mut members: Vec<_> = members
        .map(|parameter| (offset(parameter), parameter))
        .collect();
    members.sort_by_key(|&(offset, parameter)| (offset, parameter.tensor));
    members
}

/// The state that a parameter's shards are in.
pub fn spread(parameter: &Parameter, site: &Site) -> [State; 2] {
    let tp = parameter
        .shard
        .filter(|_| site.sizes.ranks[1] > 1)
        .map_or(State::Whole, State::Shard);
    [State::Whole, tp]
}

/// The axis over which a storage of a bucket is cut: that of the replicas, where it is smaller than the weights.
pub fn cut(plan: &Plan, bucket: &Bucket, storage: TensorId) -> Option<usize> {
    let elements = |id: TensorId| plan.tensors[id.0 as usize].elements();
    (plan.mesh.dp > 1 && elements(storage) != elements(bucket.weights)).then_some(0)
}

impl<'p> Memory<'p> {
    /// What a stage holds when a step begins: weights and moments of the step before; everything else is stale.
    pub fn new(plan: &'p Plan, role: &Role, site: &Site) -> Self {
        let mut statics = BTreeMap::new();
        for &id in &role.statics {
            for layer in copies(plan, role, id) {
                statics.insert((id, layer), Held::odd("stale"));
            }
        }
        for (index, bucket) in plan.buckets.iter().enumerate() {
            for layer in copies(plan, role, bucket.m) {
                for kind in Kind::ALL {
                    let Some(id) = kind.of(bucket).filter(|id| role.statics.contains(id)) else {
                        continue;
                    };
                    let fill = |parameter: &Parameter| Item {
                        number: kind.symbol(&logical_name(parameter, layer)),
                        states: spread(parameter, site),
                    };
                    let flat = Flat {
                        cut: cut(plan, bucket, id),
                        ..parts(plan, index, fill)
                    };
                    statics.insert((id, layer), Held::Flat(flat));
                }
                let gradients = [bucket.gradients].into_iter().chain(bucket.sums);
                let waiting = bucket.levels.iter().chain(&bucket.apart);
                let gradients = gradients.chain(waiting.copied());
                for id in gradients.filter(|id| role.statics.contains(id)) {
                    let stale = |_: &Parameter| Item::odd(Number::of("stale gradient", &[], &[]));
                    let flat = Flat {
                        cut: cut(plan, bucket, id),
                        ..parts(plan, index, stale)
                    };
                    statics.insert((id, layer), Held::Flat(flat));
                }
            }
        }
        let locals = vec![None; plan.tensors.len()];
        Memory {
            plan,
            statics,
            locals,
            frames: BTreeMap::new(),
            wires: BTreeMap::new(),
        }
    }

    /// A static storage.
    pub fn storage(&self, key: Key) -> Option<&Held> {
        self.statics.get(&key)
    }

    fn tensor(&self, id: TensorId) -> &'p Tensor {
        &self.plan.tensors[id.0 as usize]
    }

    fn key(tensor: &Tensor, layer: Option<u32>) -> Key {
        let base = tensor.view.map_or(tensor.id, |view| view.base);
        (
            base,
            if tensor.lives.is_layered() {
                layer
            } else {
                None
            },
        )
    }

    /// An operand.
    pub fn read(&self, id: TensorId, layer: Option<u32>) -> Held {
        let tensor = self.tensor(id);
        let held = if tensor.lives == Lives::Local {
            let storage = tensor.view.map_or(id, |view| view.base);
            self.locals[storage.0 as usize].as_ref()
        } else {
            self.statics.get(&Self::key(tensor, layer))
        };
        match (held, tensor.view) {
            (None, _) if tensor.lives == Lives::Local => Held::odd("undefined"),
            (Some(held), None) => held.clone(),
            (Some(Held::Flat(flat)), Some(view)) if flat.cut.is_none() => {
                let part = flat.find(view.offset, tensor.elements());
                part.map_or_else(
                    || Held::odd("torn view"),
                    |part| Held::One(flat.parts[part].1),
                )
            }
            _ => Held::odd("no storage"),
        }
    }

    /// Changes an operand.
    pub fn write(&mut self, id: TensorId, layer: Option<u32>, value: Held) {
        let tensor = self.tensor(id);
        let held = match (tensor.lives, tensor.view) {
            (Lives::Local, None) => {
                self.locals[id.0 as usize] = Some(value);
                return;
            }
            (Lives::Local, Some(view)) => self.locals[view.base.0 as usize].as_mut(),
            _ => self.statics.get_mut(&Self::key(tensor, layer)),
        };
        let Some(storage) = held else {
            return;
        };
        match (storage, tensor.view, value) {
            (Held::Flat(flat), Some(view), Held::One(item)) => {
                match flat.find(view.offset, tensor.elements()) {
                    Some(part) => flat.parts[part].1 = item,
                    None => *flat = flat.map(|item| Item::odd(item.number)),
                }
            }
            (storage, None, value) => *storage = value,
            (storage, _, _) => *storage = Held::odd("torn storage"),
        }
    }

    /// A body begins: wires are bound and the frame is taken.
    pub fn enter(&mut self, visit: &Visit<'p>) {
        for port in &visit.body.ins {
            self.locals[port.tensor.0 as usize] =
                self.wires.remove(&(port.wire, visit.micro_batch));
        }
        if !visit.body.takes.is_empty() {
            let frame =
                self.frames
                    .remove(&(visit.body.block.as_str(), visit.layer, visit.micro_batch));
            for (id, held) in frame.into_iter().flatten() {
                self.locals[id.0 as usize] = Some(held);
            }
        }
    }

    /// A body ends: the frame is written and wires are filled.
    pub fn leave(&mut self, visit: &Visit<'p>) {
        let body = visit.body;
        if !body.saves.is_empty() {
            let take = |&id: &TensorId| Some((id, self.locals[id.0 as usize].take()?));
            let saved = body.saves.iter().filter_map(take).collect();
            self.frames
                .insert((body.block.as_str(), visit.layer, visit.micro_batch), saved);
        }
        for port in &body.outs {
            if let Some(held) = self.locals[port.tensor.0 as usize].take() {
                self.wires.insert((port.wire, visit.micro_batch), held);
            }
        }
    }

    /// Ends a local.
    pub fn free(&mut self, id: TensorId) {
        self.locals[id.0 as usize] = None;
    }

    /// Takes a wire's value away.
    pub fn unplug(&mut self, wire: Wire, micro_batch: u32) -> Held {
        self.wires
            .remove(&(wire, micro_batch))
            .unwrap_or_else(|| Held::odd("empty wire"))
    }

    /// Fills a wire.
    pub fn plug(&mut self, wire: Wire, micro_batch: u32, held: Held) {
        self.wires.insert((wire, micro_batch), held);
    }
}

/// Zeros in the parts of the bucket whose gradients a tensor holds; none where it holds none.
pub fn zeros(plan: &Plan, gradients: TensorId) -> Option<Flat> {
    let mut buckets = plan.buckets.iter();
    let index = buckets.position(|bucket| bucket.gradients == gradients)?;
    Some(parts(plan, index, |_| Item::whole(Number::ZERO)))
}

/// A bucket's parts: its parameters by a rule, and zeros where there is none.
fn parts(plan: &Plan, index: usize, fill: impl Fn(&Parameter) -> Item) -> Flat {
    let mut parts = Vec::new();
    let mut reached = 0;
    for (offset, parameter) in members(plan, index) {
        if offset > reached {
            parts.push((offset - reached, Item::whole(Number::ZERO)));
        }
        let length = plan.tensors[parameter.tensor.0 as usize].elements();
        parts.push((length, fill(parameter)));
        reached = offset + length;
    }
    let total = plan.tensors[plan.buckets[index].weights.0 as usize].elements();
    if total > reached {
        parts.push((total - reached, Item::whole(Number::ZERO)));
    }
    Flat { parts, cut: None }
}
