//! Lays the bodies out in time: each stage's passes in their order ([`super::passes`]), with transfers between stages beside the
//! computation.
//!
//! What the next operation receives is asked for before the present one computes; a sent value is waited for before the next of
//! its direction is sent, so at most one is under way each way.

use pleach_plan::{
    Body, BodyId, Call, Mark, Role, Slot, TensorId, Training, Transfer, TransferKind, Wire,
};

use super::passes::{Pass, Pipeline};
use super::{BlockBodies, Bodies, Emitter, Piece, TiedBodies, header, stages};

/// The roles of all stages.
pub(super) fn roles(
    emitter: &Emitter<'_>,
    pieces: &[Piece<'_>; 3],
    others: &[Piece<'_>],
    bodies: &Bodies,
    head: u64,
) -> Vec<Role> {
    let (stages, chunks) = (emitter.mesh.pp, emitter.placement.vpp);
    let spans = stages::spans(emitter.experiment, emitter.placement, head);
    let training = header::training(emitter.experiment, emitter.placement);
    let role = |stage: u32| {
        let pipeline = Pipeline {
            stage,
            stages,
            chunks,
            micro_steps: emitter.micro_steps(),
        };
        let held = (0..chunks).map(|chunk| spans[(chunk * stages + stage) as usize]);
        let program = Program {
            training: &training,
            replicas: emitter.mesh.dp,
            pipeline,
            chunks: held.collect(),
            bodies,
            all: &emitter.bodies,
            slots: Vec::new(),
            token: 0,
        };
        let blocks = program.blocks();
        let own = blocks.iter().map(|&index| &pieces[index]);
        let own = own.filter(|piece| piece.block.name != "layer");
        let kinds = pieces[1..2].iter().chain(others);
        let kinds = kinds.filter(|piece| program.has(piece.block.kind));
        let held: Vec<&Piece<'_>> = own.chain(kinds).collect();
        Role {
            stage,
            chunks: program.chunks.clone(),
            statics: emitter.statics(&held, holds_tied(stage, stages)),
            slots: program.build(&blocks),
        }
    };
    (0..stages).map(role).collect()
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

    /// What a stage that holds these blocks, and perhaps what embedding and head share, keeps from step to step.
    fn statics(&self, pieces: &[&Piece<'_>], tied: bool) -> Vec<TensorId> {
        let mut statics = vec![self.report, self.factor];
        let own = pieces.iter().flat_map(|piece| &piece.buckets);
        let shared = self.tied.as_ref().map(|tied| &tied.bucket);
        for &index in own.chain(shared.filter(|_| tied)) {
            let bucket = &self.buckets[index];
            let whole = [bucket.weights, bucket.gradients].into_iter();
            let own = whole.filter(|&id| !self.passes(id)).chain(bucket.sums);
            let own = own.chain(bucket.levels.iter().chain(&bucket.apart).copied());
            statics.extend(own.chain(bucket.master).chain([bucket.m]).chain(bucket.v));
        }
        statics
    }
}

/// The layers of a span, cut where their kind changes: kinds with first and last layer.
fn runs(order: &[usize], [first, last]: [u32; 2]) -> Vec<(usize, [u32; 2])> {
    let mut runs: Vec<(usize, [u32; 2])> = Vec::new();
    for layer in first..=last {
        let kind = order[layer as usize];
        match runs.last_mut() {
            Some((same, [_, end])) if *same == kind => *end = layer,
            _ => runs.push((kind, [layer, layer])),
        }
    }
    runs
}

struct Program<'a> {
    training: &'a Training,
    replicas: u32,
    pipeline: Pipeline,
    chunks: Vec<[u32; 2]>,
    bodies: &'a Bodies,
    all: &'a [Body],
    slots: Vec<Slot>,
    token: u32,
}

impl Program<'_> {
    /// For each layer the kind whose parameters it has.
    fn stored(&self) -> Vec<usize> {
        let order = self.bodies.order.iter();
        order.map(|&kind| self.bodies.stores[kind]).collect()
    }

    /// Whether one of the stage's layers has the parameters of a kind.
    fn has(&self, kind: usize) -> bool {
        let stored = self.stored();
        let mut layers = self.chunks.iter().flat_map(|&[first, last]| first..=last);
        layers.any(|layer| stored[layer as usize] == kind)
    }

    /// Indices of the blocks that the stage holds.
    fn blocks(&self) -> Vec<usize> {
        let chunks = 0..self.pipeline.chunks;
        let mut blocks: Vec<usize> = chunks
            .flat_map(|chunk| self.pipeline.blocks(chunk))
            .collect();
        blocks.sort_unstable();
        blocks.dedup();
        blocks
    }

    fn build(mut self, blocks: &[usize]) -> Vec<Slot> {
        self.slots.push(Slot::Mark(Mark::StepBegin));
        self.call(self.bodies.begin, None, 0, 0);
        self.each(blocks, |bodies| bodies.begin);
        self.tied(|bodies| bodies.begin);
        self.passes();
        self.slots.push(Slot::Mark(Mark::Optimizer));
        self.each(blocks, |bodies| bodies.reduce);
        self.tied(|bodies| bodies.reduce);
        self.call(self.bodies.reduce, None, 0, 0);
        self.each(blocks, |bodies| bodies.update);
        self.tied(|bodies| bodies.update);
        self.slots.push(Slot::Mark(Mark::StepEnd));
        self.slots
    }

    /// What is done once a step, for each block; for the layers, chunk by chunk.
    fn each(&mut self, blocks: &[usize], which: impl Fn(&BlockBodies) -> BodyId) {
        for &index in blocks {
            let body = which(&self.bodies.blocks[index]);
            if index != 1 {
                self.call(body, None, 0, 0);
                continue;
            }
            for (chunk, layers) in (0..).zip(self.chunks.clone()) {
                for (store, layers) in runs(&self.stored(), layers) {
                    let body = self.bodies.stored.get(&store).map_or(body, &which);
                    self.call(body, Some(layers), chunk, 0);
                }
            }
        }
    }

    fn tied(&mut self, which: impl Fn(&TiedBodies) -> BodyId) {
        let shared = self.bodies.tied.as_ref().map(which);
        let Pipeline { stage, stages, .. } = self.pipeline;
        if let Some(body) = shared.filter(|_| holds_tied(stage, stages)) {
            self.call(body, None, 0, 0);
        }
    }

    fn call(&mut self, body: BodyId, layers: Option<[u32; 2]>, chunk: u32, micro_batch: u32) {
        self.slots.push(Slot::Call(Call {
            body,
            layers,
            chunk,
            micro_batch,
        }));
    }

    fn passes(&mut self) {
        let order = self.pipeline.order();
        let mut sent = [None, None];
        let mut asked = order.first().and_then(|&pass| self.ask(pass));
        for (index, &pass) in order.iter().enumerate() {
            if let Some(token) = asked {
                self.slots.push(Slot::Wait(token));
            }
            asked = order.get(index + 1).and_then(|&next| self.ask(next));
            self.compute(pass);
            self.fold(pass);
            if let Some([peer, _]) = self.pipeline.onward(pass) {
                if let Some(token) = sent[usize::from(pass.forward)].take() {
                    self.slots.push(Slot::Wait(token));
                }
                let token = self.start(TransferKind::Send, [peer, pass.chunk], pass);
                sent[usize::from(pass.forward)] = Some(token);
            }
        }
        self.slots
            .extend(sent.into_iter().flatten().map(Slot::Wait));
    }

    /// Joins the lane that a backward pass has ended, in the parameters of its chunk.
    fn fold(&mut self, pass: Pass) {
        let fold = self.training.fold_behind(self.replicas, pass.micro_batch);
        let Some(fold) = fold.filter(|_| !pass.forward) else {
            return;
        };
        let which = |folds: &[BodyId]| folds.get(fold.joins as usize).copied();
        let blocks = self.pipeline.blocks(pass.chunk);
        for &index in &blocks {
            let Some(body) = which(&self.bodies.blocks[index].folds) else {
                continue;
            };
            if index != 1 {
                self.call(body, None, pass.chunk, pass.micro_batch);
                continue;
            }
            for (store, layers) in runs(&self.stored(), self.chunks[pass.chunk as usize]) {
                let own = self.bodies.stored.get(&store);
                let body = own.and_then(|own| which(&own.folds)).unwrap_or(body);
                self.call(body, Some(layers), pass.chunk, pass.micro_batch);
            }
        }
        let shared = self.bodies.tied.as_ref();
        let reads = blocks.iter().any(|&index| index != 1);
        if let Some(body) = shared.filter(|_| reads).and_then(|own| which(&own.folds)) {
            self.call(body, None, pass.chunk, pass.micro_batch);
        }
    }

    /// Asks for what a pass receives; none where it begins on this stage.
    fn ask(&mut self, pass: Pass) -> Option<u32> {
        let from = self.pipeline.from(pass)?;
        Some(self.start(TransferKind::Receive, from, pass))
    }

    fn compute(&mut self, pass: Pass) {
        let mut blocks = self.pipeline.blocks(pass.chunk);
        if !pass.forward {
            blocks.reverse();
        }
        for index in blocks {
            if index == 1 {
                self.layers(pass);
                continue;
            }
            let bodies = &self.bodies.blocks[index];
            let body = if pass.forward {
                bodies.forward
            } else {
                bodies.backward
            };
            self.call(body, None, pass.chunk, pass.micro_batch);
        }
    }

    /// Calls for neighbouring layers of one kind at a time.
    fn layers(&mut self, pass: Pass) {
        let mut runs = runs(&self.bodies.order, self.chunks[pass.chunk as usize]);
        if !pass.forward {
            runs.reverse();
        }
        for (kind, layers) in runs {
            let body = self.bodies.kinds[kind][usize::from(!pass.forward)];
            self.call(body, Some(layers), pass.chunk, pass.micro_batch);
        }
    }

    /// Begins a transfer with a peer of what the sender's chunk made.
    fn start(&mut self, kind: TransferKind, [peer, chunk]: [u32; 2], pass: Pass) -> u32 {
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
            chunk,
            tensor,
        }));
        token
    }
}
