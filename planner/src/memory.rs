//! Memory of a stage by kind: lifetimes of the plan, plus what an engine and a device hold beside them.
//!
//! Live bytes are those of `plan::ledger`, found without unrolling: a body is walked once, a call for `n` layers repeats its net
//! change. On top come named extras, each visible in the result: scores that an engine stores, what its plain operators keep, its
//! reduction bucket, the allocator's slack and pieces, the device's context and the communication library.

mod copied;

use std::collections::BTreeMap;

use pleach_plan::hardware::Kind;
use pleach_plan::{
    Body, BodyKind, Bucket, Call, Instr, Op, Plan, Role, Slot, TensorId, TransferKind,
};

use crate::cost::Costs;
use crate::cost::attention::Shape;
use crate::engine::LossKernel;
use crate::simulate::beside;

/// Bytes of one stage's ranks at their peak, by kind; the six sum to `peak`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageMemory {
    /// Weights in compute type.
    pub parameters: u64,
    /// Gradient accumulators.
    pub gradients: u64,
    /// Master weights and moments.
    pub optimizer: u64,
    /// What forward left for backward and what is being worked on, at the peak.
    pub activations: u64,
    /// Kernels' workspace at the peak, small static tensors, an engine's reduction bucket.
    pub buffers: u64,
    /// Context, libraries, allocator.
    pub overhead: u64,
    /// What the device shows.
    pub peak: u64,
    /// Largest sum of live named storages (as in `plan::ledger`, with the engine's stored scores).
    pub named: u64,
    /// The same with the running kernel's workspace: what live tensors hold at the peak.
    pub allocated: u64,
}

/// Bytes of copies that an engine's loss makes of logits.
#[derive(Clone, Copy, Debug, Default)]
struct Logits {
    /// From forward to backward, beside the logits.
    kept: u64,
    /// While forward runs.
    forward: u64,
    /// While backward runs, beside the gradient.
    backward: u64,
}

/// How a body changes and peaks, relative to its entry.
#[derive(Clone, Copy, Debug, Default)]
struct Profile {
    net: i64,
    named: i64,
    inside: i64,
    workspace: i64,
}

/// The memory of every stage, in order.
pub fn stages(costs: &Costs<'_>) -> Vec<StageMemory> {
    let plan = costs.plan();
    let sizes = sizes(costs);
    let profiles = profiles(costs, &sizes);
    let factor = costs.hardware().memory_factor();
    plan.roles
        .iter()
        .map(|role| stage(costs, &sizes, &profiles, role).times(factor))
        .collect()
}

impl StageMemory {
    /// The same with all but the state of the model multiplied.
    fn times(self, factor: f64) -> Self {
        let scale = |bytes: u64| libm::round(bytes as f64 * factor) as u64;
        let [activations, buffers, overhead] =
            [self.activations, self.buffers, self.overhead].map(scale);
        let state = self.parameters + self.gradients + self.optimizer;
        StageMemory {
            activations,
            buffers,
            overhead,
            peak: state + activations + buffers + overhead,
            ..self
        }
    }
}

/// What a stage's ranks hold of live tensors around one slot, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Before it.
    pub before: u64,
    /// At its highest instant.
    pub highest: u64,
    /// After it.
    pub after: u64,
}

/// Live bytes of every stage, slot by slot.
pub fn levels(costs: &Costs<'_>) -> Vec<Vec<Level>> {
    let plan = costs.plan();
    let sizes = sizes(costs);
    let profiles = profiles(costs, &sizes);
    let of = |role: &Role| {
        let mut before = statics(plan, &sizes, role, &role.statics);
        let mut levels = Vec::with_capacity(role.slots.len());
        let mut sent = BTreeMap::new();
        for slot in &role.slots {
            let mut walk = Peaks::from(before);
            walk.slot(slot, (&sizes, &profiles), &mut sent);
            let after = walk.live as u64;
            let highest = walk.named.max(walk.live) as u64;
            levels.push(Level {
                before,
                highest,
                after,
            });
            before = after;
        }
        levels
    };
    plan.roles.iter().map(of).collect()
}

/// Bytes that one forward of a block leaves behind for its backward; the least of all kinds.
pub fn frame(costs: &Costs<'_>, block: &str) -> u64 {
    let sizes = sizes(costs);
    let forward = |body: &&Body| body.block == block && body.kind == BodyKind::Forward;
    let net = |body: &Body| profile(costs, &sizes, body).net;
    costs
        .plan()
        .bodies
        .iter()
        .filter(forward)
        .map(net)
        .min()
        .unwrap_or(0)
        .max(0) as u64
}

/// Bytes of every tensor's own storage. Where an engine stores scores they live exactly as long as `lse`, and where it keeps
/// exponentials of wide logits they live as long as the loss's terms.
fn sizes(costs: &Costs<'_>) -> Vec<u64> {
    let plan = costs.plan();
    let own = |tensor: &pleach_plan::Tensor| {
        if tensor.view.is_some() {
            0
        } else {
            costs.size(tensor.id)
        }
    };
    let mut sizes: Vec<u64> = plan.tensors.iter().map(own).collect();
    for instr in plan.bodies.iter().flat_map(|body| &body.code) {
        let (companion, extra) = match instr.op {
            Op::Attention(_) => (instr.outs.get(1), costs.kept_scores(instr)),
            Op::CrossEntropyTerms { .. } => (instr.outs.first(), costs.logits(instr).kept),
            Op::LayerNorm { .. } | Op::RmsNorm { .. } => {
                (instr.outs.last(), costs.plain_norm(instr))
            }
            Op::Gated { .. } => (instr.outs.first(), costs.plain_gate(instr)),
            _ => (None, 0),
        };
        if let Some(id) = companion {
            sizes[id.0 as usize] = costs.size(*id) + extra;
        }
    }
    if costs.engine().gathers_again && plan.sequence_parallel {
        for id in gathered(plan) {
            sizes[id.0 as usize] /= u64::from(plan.mesh.tp);
        }
    }
    sizes
}

/// What forward gathers over tensor-parallel ranks and leaves for backward.
fn gathered(plan: &Plan) -> Vec<TensorId> {
    let forward = plan
        .bodies
        .iter()
        .filter(|body| body.kind == BodyKind::Forward);
    let outs = |body: &Body| -> Vec<TensorId> {
        let gathers = |instr: &&Instr| matches!(instr.op, Op::AllGather { .. });
        let outs = body
            .code
            .iter()
            .filter(gathers)
            .flat_map(|instr| instr.outs.clone());
        outs.filter(|id| body.saves.contains(id)).collect()
    };
    forward.flat_map(outs).collect()
}

fn profiles(costs: &Costs<'_>, sizes: &[u64]) -> Vec<Profile> {
    let bodies = costs.plan().bodies.iter();
    bodies.map(|body| profile(costs, sizes, body)).collect()
}

fn profile(costs: &Costs<'_>, sizes: &[u64], body: &Body) -> Profile {
    let sum = |ids: &[TensorId]| {
        ids.iter()
            .map(|id| sizes[id.0 as usize] as i64)
            .sum::<i64>()
    };
    let mut profile = Profile {
        named: i64::MIN,
        inside: i64::MIN,
        ..Profile::default()
    };
    for instr in &body.code {
        let workspace = costs.workspace(instr) as i64;
        let inside = profile.net + sum(&instr.outs) + workspace;
        if inside > profile.inside {
            (profile.inside, profile.workspace) = (inside, workspace);
        }
        profile.net += sum(&instr.outs) - sum(&instr.frees);
        profile.named = profile.named.max(profile.net);
    }
    profile
}

/// The peaks of a role's step: live before each slot, and the highest instant with its workspace.
#[derive(Clone, Copy, Debug)]
struct Peaks {
    live: i64,
    named: i64,
    inside: i64,
    workspace: i64,
}

impl Peaks {
    /// Nothing but what is held already.
    fn from(held: u64) -> Self {
        let start = held as i64;
        Peaks {
            live: start,
            named: start,
            inside: start,
            workspace: 0,
        }
    }

    /// Goes through one slot; `sent` are the sizes of transfers that are on their way.
    fn slot(
        &mut self,
        slot: &Slot,
        (sizes, profiles): (&[u64], &[Profile]),
        sent: &mut BTreeMap<u32, i64>,
    ) {
        match slot {
            Slot::Call(call) => self.call(&profiles[call.body.0 as usize], call),
            Slot::Start(transfer) => {
                let size = sizes[transfer.tensor.0 as usize] as i64;
                match transfer.kind {
                    TransferKind::Send => {
                        sent.insert(transfer.token, size);
                    }
                    TransferKind::Receive => self.live += size,
                }
                self.at(self.live, 0, self.live);
            }
            Slot::Wait(token) => self.live -= sent.get(token).copied().unwrap_or(0),
            Slot::Mark(_) => {}
        }
    }

    fn at(&mut self, inside: i64, workspace: i64, named: i64) {
        if inside > self.inside {
            (self.inside, self.workspace) = (inside, workspace);
        }
        self.named = self.named.max(named);
    }

    fn call(&mut self, profile: &Profile, call: &Call) {
        let layers = call
            .layers
            .map_or(1, |[first, last]| i64::from(last - first) + 1);
        if profile.inside == i64::MIN {
            return;
        }
        let highest = self.live + ((layers - 1) * profile.net).max(0);
        self.at(
            highest + profile.inside,
            profile.workspace,
            highest + profile.named,
        );
        self.live += layers * profile.net;
    }
}

fn peaks(sizes: &[u64], profiles: &[Profile], statics: u64, slots: &[Slot]) -> Peaks {
    let mut peaks = Peaks::from(statics);
    let mut sent = BTreeMap::new();
    for slot in slots {
        peaks.slot(slot, (sizes, profiles), &mut sent);
    }
    peaks
}

fn stage(costs: &Costs<'_>, sizes: &[u64], profiles: &[Profile], role: &Role) -> StageMemory {
    let plan = costs.plan();
    let statics = statics(plan, sizes, role, &role.statics);
    let peaks = peaks(sizes, profiles, statics, &role.slots);
    let [parameters, gradients, optimizer] = kinds(plan, sizes, role);
    let others = statics - parameters - gradients - optimizer;
    let copied = copied::copied(costs, sizes, role);
    let bucket = bucket(costs, gradients) + beside::held(costs, role) + copied;
    let [beside, copies] = gradients_beside(costs, sizes, role, parameters);
    let [mut activations, mut workspace] = [
        (peaks.inside - peaks.workspace) as u64 - statics,
        peaks.workspace as u64,
    ];
    if copies > activations + workspace {
        [activations, workspace] = [0, copies];
    }
    let gradients = gradients + beside;
    let buffers = others + workspace + bucket;
    let allocated = parameters + gradients + optimizer + activations + buffers;
    let overhead = overhead(costs, allocated, activations);
    StageMemory {
        parameters,
        gradients,
        optimizer,
        activations,
        buffers,
        overhead,
        peak: allocated + overhead,
        named: peaks.named as u64,
        allocated,
    }
}

/// Bytes of static tensors of a role: layered ones once for each of its layers.
fn statics(plan: &Plan, sizes: &[u64], role: &Role, ids: &[TensorId]) -> u64 {
    let held = ids.iter().filter(|id| role.statics.contains(id));
    let bytes = held.map(|&id| plan.copy_count(role, id) * sizes[id.0 as usize]);
    bytes.sum()
}

/// Static bytes of weights, of gradients, and of what the optimizer keeps.
fn kinds(plan: &Plan, sizes: &[u64], role: &Role) -> [u64; 3] {
    let of = |pick: &dyn Fn(&Bucket) -> Vec<TensorId>| {
        let ids: Vec<TensorId> = plan.buckets.iter().flat_map(pick).collect();
        statics(plan, sizes, role, &ids)
    };
    let optimizer = |bucket: &Bucket| {
        let masters = bucket.master.filter(|&id| id != plan.kept_weights(bucket));
        [bucket.m]
            .into_iter()
            .chain(bucket.v)
            .chain(masters)
            .collect()
    };
    [
        of(&|bucket| vec![plan.kept_weights(bucket)]),
        of(&|bucket| vec![bucket.sums.unwrap_or(bucket.gradients)]),
        of(&optimizer),
    ]
}

/// What an engine holds of gradients beside those of the plan: all step long, and while it updates.
fn gradients_beside(costs: &Costs<'_>, sizes: &[u64], role: &Role, parameters: u64) -> [u64; 2] {
    let plan = costs.plan();
    let narrow = costs.narrow_gradients();
    let both = costs.engine().both_gradients && plan.training.compute.bytes() == 2 && !narrow;
    let moments: Vec<TensorId> = plan.buckets.iter().map(|bucket| bucket.m).collect();
    let copied = costs.engine().copied_gradients && narrow;
    [
        if both { parameters } else { 0 },
        if copied {
            statics(plan, sizes, role, &moments)
        } else {
            0
        },
    ]
}

/// The engine's flat buffer for reducing gradients, never larger than the gradients.
fn bucket(costs: &Costs<'_>, gradients: u64) -> u64 {
    let plan = costs.plan();
    let width = |bucket: &Bucket| {
        costs.size(bucket.gradients) / plan.tensors[bucket.gradients.0 as usize].elements().max(1)
    };
    let size = plan.buckets.first().map_or(4, width);
    let wanted = costs
        .engine()
        .gradient_bucket
        .map_or(0, |elements| elements * size);
    if plan.mesh.dp > 1 {
        wanted.min(gradients)
    } else {
        0
    }
}

/// What a rank holds beside live tensors.
fn overhead(costs: &Costs<'_>, allocated: u64, activations: u64) -> u64 {
    let hardware = costs.hardware();
    let communication = if costs.plan().mesh.ranks() > 1 {
        hardware.overhead.communication.value
    } else {
        0.0
    };
    let slack = match hardware.kind {
        Kind::Gpu => costs.engine().allocator_slack,
        Kind::Cpu => 0.0,
    };
    let pieces = hardware
        .overhead
        .pieces
        .as_ref()
        .map_or(0.0, |part| part.value);
    let narrow = hardware.overhead.narrow.as_ref();
    let narrow = narrow.filter(|_| costs.plan().training.compute.bytes() == 2);
    libm::round(
        hardware.overhead.context.value
            + communication
            + narrow.map_or(0.0, |narrow| narrow.value)
            + slack * allocated as f64
            + pieces * activations as f64,
    ) as u64
}

impl Costs<'_> {
    /// Bytes of one set of attention scores, where the engine stores them.
    fn scores(&self, instr: &Instr) -> u64 {
        if self.engine().attention.stores_scores() {
            self.attention_shape(instr).map_or(0, Shape::scores)
        } else {
            0
        }
    }

    /// What of the scores backward needs: probabilities; with dropout also those that are left, and the mask.
    fn kept_scores(&self, instr: &Instr) -> u64 {
        let scores = self.scores(instr);
        match self.engine().dropout {
            _ if self.recomputes_scores() => 0,
            true => scores * 5 / 2,
            false => scores,
        }
    }

    /// What of the scores is made again for one layer's backward.
    fn scores_again(&self, instr: &Instr) -> u64 {
        let again = self.scores(instr);
        match self.engine().dropout {
            _ if !self.recomputes_scores() => 0,
            true => again * 5 / 2,
            false => again,
        }
    }

    /// What the loss holds of logits beside them and their gradient.
    fn logits(&self, instr: &Instr) -> Logits {
        let tensor = &self.plan().tensors[instr.ins[0].0 as usize];
        let own = tensor.elements();
        let narrow = self.size(instr.ins[0]) / own.max(1);
        let wide = narrow.max(4);
        let copy = if wide > narrow { wide } else { 0 };
        let (all, gathered) = match self.gathered_logits() {
            1 => (own, 0),
            ranks => (own * ranks, own * ranks * narrow),
        };
        match self.engine().loss {
            LossKernel::Fused => Logits::default(),
            // The logits themselves are let go of once they are copied.
            LossKernel::InPlace => Logits {
                kept: own * (wide - narrow),
                forward: own * (copy + narrow),
                backward: 0,
            },
            LossKernel::Operators => Logits {
                kept: all * wide + gathered,
                forward: all * copy,
                backward: 2 * all * wide - own * narrow,
            },
        }
    }

    /// What a norm by plain operators keeps beyond its input and statistics: the input in 32 bits, and what is multiplied with the weight in 16.
    fn plain_norm(&self, instr: &Instr) -> u64 {
        let elements = self.plan().tensors[instr.ins[0].0 as usize].elements();
        if self.engine().norm_passes > 1.0 {
            6 * elements
        } else {
            0
        }
    }

    /// What a gate by plain operators keeps beyond its operands: what the nonlinearity gave.
    fn plain_gate(&self, instr: &Instr) -> u64 {
        if self.engine().gate_passes > 1.0 {
            self.size(instr.outs[0])
        } else {
            0
        }
    }

    /// What a kernel takes beside operands and results. On a CPU the plan's bound, which the worker keeps; on a GPU what the
    /// engine's kernels are known to take: raw scores and their gradients, wide gradients of logits, weight gradients before they
    /// are added.
    fn workspace(&self, instr: &Instr) -> u64 {
        if self.hardware().kind == Kind::Cpu {
            return instr.workspace;
        }
        match instr.op {
            Op::Attention(_) => self.scores(instr),
            Op::AttentionBackward(_) => 2 * self.scores(instr) + self.scores_again(instr),
            Op::CrossEntropyTerms { .. } => self.logits(instr).forward,
            Op::CrossEntropyBackward { .. } => self.logits(instr).backward,
            Op::LinearBackwardWeight {} | Op::ExpertLinearBackwardWeight {} => {
                let added: u64 = instr.updates.iter().map(|&id| self.size(id)).sum();
                let fused = self.engine().fused_weight_gradient;
                let gathers = self.engine().gathers_again && self.plan().sequence_parallel;
                let again = instr.ins.iter().map(|&id| self.size(id)).max().unwrap_or(0);
                (if fused { 0 } else { added }) + (if gathers { again } else { 0 })
            }
            _ => 0,
        }
    }
}
