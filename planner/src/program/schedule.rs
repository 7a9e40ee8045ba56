//! Lays the bodies out in time: one forward, one backward (1F1B), with transfers between stages beside the computation.
//!
//! A stage runs `min(micro_steps, stages - stage - 1)` forwards, then alternates, then runs the remaining backwards. What the next
//! operation receives is asked for before the present one computes; a sent value is waited for before the next of its direction
//! is sent, so at most one is under way each way.

use pleach_plan::{Body, Call, Mark, Role, Slot, Transfer, TransferKind, Wire};

use super::{BlockBodies, Bodies, Emitter, Piece, TiedBodies, stages};
use crate::engine::{self, Partition};
use pleach_plan::BodyId;

/// One pass of a micro-batch through a stage.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Pass {
    forward: bool,
    micro_batch: u32,
}

/// The roles of all stages.
pub(super) fn roles(emitter: &Emitter<'_>, pieces: &[Piece<'_>; 3], bodies: &Bodies) -> Vec<Role> {
    let stages = emitter.mesh.pp;
    let model = &emitter.experiment.model;
    let products = |index: usize| {
        let values = pieces[index].block.values.iter();
        let matrices = values.filter(|value| value.is_parameter() && value.dims.len() > 1);
        matrices.map(|value| value.elements()).sum::<u64>()
    };
    let head = products(2) * 1000 / products(1).max(1);
    let partition =
        engine::find(&emitter.placement.engine).map_or(Partition::Work, |engine| engine.partition);
    let spans = stages::cut(partition, model.layers(), u64::from(stages), head);
    (0..stages)
        .zip(spans)
        .map(|(stage, layers)| {
            let blocks = held(stage, stages);
            let own = blocks.iter().flat_map(|&index| &pieces[index].buckets);
            let shared = emitter.tied.as_ref().map(|tied| &tied.bucket);
            let shared = shared.filter(|_| holds_tied(stage, stages));
            let buckets = own.chain(shared);
            let mut statics = vec![emitter.report, emitter.factor];
            for &index in buckets {
                let bucket = &emitter.buckets[index];
                statics.extend(
                    [bucket.weights, bucket.gradients]
                        .into_iter()
                        .chain(bucket.master)
                        .chain([bucket.m, bucket.v]),
                );
            }
            let micro_steps = emitter.micro_steps();
            let slots = Program {
                stage,
                stages,
                layers,
                bodies,
                all: &emitter.bodies,
                micro_steps,
                slots: Vec::new(),
                token: 0,
            };
            Role {
                stage,
                layers,
                statics,
                slots: slots.build(&blocks),
            }
        })
        .collect()
}

/// Indices of the blocks that a stage holds.
fn held(stage: u32, stages: u32) -> Vec<usize> {
    let ends = [
        (stage == 0).then_some(0),
        Some(1),
        (stage + 1 == stages).then_some(2),
    ];
    ends.into_iter().flatten().collect()
}

/// Whether a stage holds what embedding and head share.
fn holds_tied(stage: u32, stages: u32) -> bool {
    stage == 0 || stage + 1 == stages
}

impl Emitter<'_> {
    fn micro_steps(&self) -> u32 {
        let share = u64::from(self.mesh.dp) * self.placement.micro_batch;
        u32::try_from(self.experiment.train.global_batch / share).unwrap_or(u32::MAX)
    }
}

struct Program<'a> {
    stage: u32,
    stages: u32,
    layers: [u32; 2],
    bodies: &'a Bodies,
    all: &'a [Body],
    micro_steps: u32,
    slots: Vec<Slot>,
    token: u32,
}

impl Program<'_> {
    fn build(mut self, blocks: &[usize]) -> Vec<Slot> {
        self.slots.push(Slot::Mark(Mark::StepBegin));
        self.call(self.bodies.begin, false, 0);
        self.each(blocks, |bodies| bodies.begin);
        self.tied(|bodies| bodies.begin);
        self.passes();
        self.slots.push(Slot::Mark(Mark::Optimizer));
        self.each(blocks, |bodies| bodies.reduce);
        self.tied(|bodies| bodies.reduce);
        self.call(self.bodies.reduce, false, 0);
        self.each(blocks, |bodies| bodies.update);
        self.tied(|bodies| bodies.update);
        self.slots.push(Slot::Mark(Mark::StepEnd));
        self.slots
    }

    fn each(&mut self, blocks: &[usize], which: impl Fn(&BlockBodies) -> BodyId) {
        for &index in blocks {
            self.call(which(&self.bodies.blocks[index]), index == 1, 0);
        }
    }

    fn tied(&mut self, which: impl Fn(&TiedBodies) -> BodyId) {
        let shared = self.bodies.tied.as_ref().map(which);
        if let Some(body) = shared.filter(|_| holds_tied(self.stage, self.stages)) {
            self.call(body, false, 0);
        }
    }

    fn call(&mut self, body: BodyId, layered: bool, micro_batch: u32) {
        self.slots.push(Slot::Call(Call {
            body,
            layers: layered.then_some(self.layers),
            chunk: 0,
            micro_batch,
        }));
    }

    /// The order of passes: warm-up, one forward and one backward in turn, cool-down.
    fn order(&self) -> Vec<Pass> {
        let warm = (self.stages - self.stage - 1).min(self.micro_steps);
        let forward = |micro_batch| Pass {
            forward: true,
            micro_batch,
        };
        let backward = |micro_batch| Pass {
            forward: false,
            micro_batch,
        };
        let mut order: Vec<Pass> = (0..warm).map(forward).collect();
        for next in warm..self.micro_steps {
            order.extend([forward(next), backward(next - warm)]);
        }
        order.extend((self.micro_steps - warm..self.micro_steps).map(backward));
        order
    }

    fn passes(&mut self) {
        let order = self.order();
        let mut sent = [None, None];
        let mut asked = order.first().and_then(|&pass| self.ask(pass));
        for (index, &pass) in order.iter().enumerate() {
            if let Some(token) = asked {
                self.slots.push(Slot::Wait(token));
            }
            asked = order.get(index + 1).and_then(|&next| self.ask(next));
            self.compute(pass);
            if let Some(peer) = self.downstream(pass) {
                if let Some(token) = sent[usize::from(pass.forward)].take() {
                    self.slots.push(Slot::Wait(token));
                }
                sent[usize::from(pass.forward)] = Some(self.start(TransferKind::Send, peer, pass));
            }
        }
        self.slots
            .extend(sent.into_iter().flatten().map(Slot::Wait));
    }

    /// Asks for what a pass receives; none where it begins on this stage.
    fn ask(&mut self, pass: Pass) -> Option<u32> {
        let peer = if pass.forward {
            self.stage.checked_sub(1)
        } else {
            Some(self.stage + 1).filter(|&peer| peer < self.stages)
        };
        peer.map(|peer| self.start(TransferKind::Receive, peer, pass))
    }

    /// The stage that a pass goes on to.
    fn downstream(&self, pass: Pass) -> Option<u32> {
        if pass.forward {
            Some(self.stage + 1).filter(|&peer| peer < self.stages)
        } else {
            self.stage.checked_sub(1)
        }
    }

    fn compute(&mut self, pass: Pass) {
        let mut blocks = held(self.stage, self.stages);
        if !pass.forward {
            blocks.reverse();
        }
        for index in blocks {
            let bodies = &self.bodies.blocks[index];
            let body = if pass.forward {
                bodies.forward
            } else {
                bodies.backward
            };
            self.call(body, index == 1, pass.micro_batch);
        }
    }

    fn start(&mut self, kind: TransferKind, peer: u32, pass: Pass) -> u32 {
        let layer = &self.bodies.blocks[1];
        let (wire, body) = if pass.forward {
            (Wire::Hidden, layer.forward)
        } else {
            (Wire::Gradient, layer.backward)
        };
        let body = &self.all[body.0 as usize];
        let ports = if kind == TransferKind::Send {
            &body.outs
        } else {
            &body.ins
        };
        let tensor = ports
            .first()
            .expect("layers read and fill the residual stream")
            .tensor;
        let token = self.token;
        self.token += 1;
        self.slots.push(Slot::Start(Transfer {
            token,
            kind,
            peer,
            wire,
            micro_batch: pass.micro_batch,
            tensor,
        }));
        token
    }
}
