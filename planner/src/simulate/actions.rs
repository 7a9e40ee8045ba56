//! From slots to timed actions: each role's step as a flat list of work, transfers and meetings.
//!
//! Bodies are priced once; a call for `n` layers is `n` times its body. On a device of its own only the sums matter, on shared
//! cores the alternation of computing and communicating does, so there neighbours are joined only where they are alike.

use std::borrow::Cow;
use std::collections::BTreeMap;

use pleach_plan::walk::{self, visits};
use pleach_plan::{
    Body, BodyKind, Call, Instr, Mark, Op, Plan, Recompute, Role, Slot, Transfer, TransferKind,
    Wire,
};

use super::beside::{self, Moved, Queue};
use super::inline::Inline;
use super::{Detail, Place};
use crate::cost::{Class, Cost, Costs, Joins};

/// One thing that a role does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Runs for a while.
    Work(Work),
    /// Meets the stages that it joins, then runs with them.
    Meet(Work, Joins),
    /// Begins its side of a message.
    Start(Side),
    /// Waits for the end of its side of a message.
    Wait(Side),
    /// Puts a collective into the queue of those that run beside the computation.
    Beside(Work),
    /// Waits for the end of what was put there as the n-th.
    Join(usize, Place),
}

/// Time that something takes alone on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Picoseconds.
    pub ps: u64,
    /// What it occupies.
    pub class: Class,
    /// Millionths of a core.
    pub busy: u32,
    /// Whether it is done once a step.
    pub once: bool,
    /// Where it stands.
    pub place: Place,
}

/// One side of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    /// Index in [`Program::messages`].
    pub message: usize,
    /// Sending or receiving.
    pub kind: TransferKind,
    /// Where it stands.
    pub place: Place,
}

/// A transfer between two stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// The stage that sends.
    pub from: u32,
    /// The stage that receives.
    pub to: u32,
    /// How long it takes.
    pub ps: u64,
}

/// A step of all roles, ready to run.
#[derive(Clone, Debug)]
pub struct Program {
    /// For each role, in order.
    pub roles: Vec<Vec<Action>>,
    /// All transfers.
    pub messages: Vec<Message>,
    /// Cores that are shared; none where each rank has a device.
    pub sharing: Option<Sharing>,
}

/// Who shares cores, and how they slow each other down.
#[derive(Clone, Debug)]
pub struct Sharing {
    /// For each role: the nodes that it lies on, with the number of its ranks there.
    pub nodes: Vec<Vec<(u32, u32)>>,
    /// Slow-down over working ranks, in millionths: rising points.
    pub curve: Vec<(u64, u64)>,
}

/// What one run of a body costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Sum over its instructions that compute.
    pub compute: u64,
    /// Sum over its collectives.
    pub communication: u64,
    /// What gathers weights beside the computation; apart from the sums.
    pub gather: u64,
    /// What reduces gradients beside the computation; apart from the sums.
    pub scatter: u64,
    /// How long the device waits for its host: included in the sums.
    pub waited: u64,
    /// Each of its instructions.
    pub code: Vec<Cost>,
    /// Runs of instructions that are alike, in order.
    pub runs: Vec<Cost>,
    /// What the engine does beyond the code, after it: included in the sums and runs.
    pub beyond: Vec<Cost>,
}

/// Prices a body once.
pub fn summary(costs: &Costs<'_>, body: &Body) -> Summary {
    let mut summary = Summary {
        beyond: rerun(costs, body),
        ..Summary::default()
    };
    let mut code: Vec<Cost> = body.code.iter().map(|instr| costs.instr(instr)).collect();
    let moved = Moved::of(costs, body);
    let mut take = |index: usize| std::mem::take(&mut code[index].ps);
    summary.gather = moved.gathers.into_iter().map(&mut take).sum();
    summary.scatter = moved.scatters.into_iter().map(&mut take).sum();
    summary.beyond.extend(beside::copies(costs, body));
    let waited = waiting(costs, body, &code, &summary.beyond);
    summary.waited = waited.map_or(0, |waited| waited.ps);
    summary.beyond.extend(waited);
    overlap(costs, body, &mut code);
    summary.code = code;
    for &cost in summary.code.iter().chain(&summary.beyond) {
        match cost.class {
            Class::Compute => summary.compute += cost.ps,
            Class::Communication => summary.communication += cost.ps,
        }
        match summary.runs.last_mut() {
            Some(last) if alike(last, &cost) => last.ps += cost.ps,
            _ => summary.runs.push(cost),
        }
    }
    summary
}

/// Shortens reductions of gradients that run beside the product for the same layer's weights by what that product takes.
fn overlap(costs: &Costs<'_>, body: &Body, priced: &mut [Cost]) {
    if !costs.engine().overlapped_reduction || body.kind != BodyKind::Backward {
        return;
    }
    for index in 0..priced.len() {
        if priced[index].class != Class::Communication {
            continue;
        }
        let reduced = body.code[index]
            .ins
            .iter()
            .chain(&body.code[index].updates)
            .next();
        let gradient = body.code.iter().find(|instr| {
            matches!(instr.op, Op::LinearBackwardInput {}) && instr.outs.first() == reduced
        });
        let Some(gradient) = gradient.and_then(|instr| instr.ins.first()) else {
            continue;
        };
        let beside = body.code.iter().position(|instr| {
            matches!(instr.op, Op::LinearBackwardWeight {}) && instr.ins.contains(gradient)
        });
        let hidden = beside.map_or(0, |place| priced[place].ps);
        priced[index].ps = priced[index].ps.saturating_sub(hidden);
    }
}

/// How long a device waits for its host in a body: what issuing its operations takes beyond what they take.
fn waiting(costs: &Costs<'_>, body: &Body, code: &[Cost], beyond: &[Cost]) -> Option<Cost> {
    let issued = costs.issuing(&body.code)?;
    let busy: u64 = code.iter().chain(beyond).map(|cost| cost.ps).sum();
    let ps = costs.computing(issued).saturating_sub(busy);
    let waited = Cost {
        ps,
        class: Class::Compute,
        busy: 1_000_000,
        joins: Joins::Nobody,
    };
    (ps > 0).then_some(waited)
}

/// What an engine that runs a checkpointed layer's whole forward again does beyond the plan, which computes only what backward
/// reads: the forward body less the part before the first derivative.
fn rerun(costs: &Costs<'_>, body: &Body) -> Vec<Cost> {
    let plan = costs.plan();
    let again = costs.engine().reruns_forward
        && plan.recompute == Recompute::Full
        && body.kind == BodyKind::Backward;
    let name = body.name.replace("backward", "forward");
    let twin = |other: &&Body| other.name == name && other.kind == BodyKind::Forward;
    let Some(forward) = plan
        .bodies
        .iter()
        .find(twin)
        .filter(|_| again && body.block == "layer")
    else {
        return Vec::new();
    };
    let part = |body: &Body, end: usize, class: Class| -> u64 {
        let moved = Moved::of(costs, body);
        let own = body.code[..end].iter().enumerate();
        own.filter(|(index, _)| !moved.gathers.contains(index))
            .map(|(_, instr)| costs.instr(instr))
            .filter(|cost| cost.class == class)
            .map(|cost| cost.ps)
            .sum()
    };
    let derivative = |instr: &Instr| instr.op.name().contains("_backward");
    let recomputed = body.code.iter().position(derivative).unwrap_or(0);
    let rest = |class, busy| {
        let all = part(forward, forward.code.len(), class);
        let ps = all.saturating_sub(part(body, recomputed, class));
        Cost {
            ps,
            class,
            busy,
            joins: Joins::Nobody,
        }
    };
    vec![
        rest(Class::Compute, 1_000_000),
        rest(Class::Communication, 0),
    ]
}

fn alike(one: &Cost, other: &Cost) -> bool {
    let alone = one.joins == Joins::Nobody && other.joins == Joins::Nobody;
    alone && one.class == other.class && one.busy == other.busy
}

impl Program {
    /// Compiles the steps of all roles of a plan.
    pub fn of(costs: &Costs<'_>, detail: Detail) -> Self {
        Self::over(costs, detail, |role| Cow::Borrowed(&role.slots))
    }

    /// Compiles what of the steps measures the loss and trains nothing.
    pub fn measuring(costs: &Costs<'_>) -> Self {
        let plan = costs.plan();
        Self::over(costs, Detail::Calls, |role| {
            let measured = walk::measured(plan, role);
            let slots = role.slots.iter().filter(|slot| measured(slot));
            Cow::Owned(slots.cloned().collect())
        })
    }

    fn over<'r>(
        costs: &'r Costs<'_>,
        detail: Detail,
        slots: impl Fn(&'r Role) -> Cow<'r, [Slot]>,
    ) -> Self {
        let plan = costs.plan();
        let summaries = plan
            .bodies
            .iter()
            .map(|body| summary(costs, body))
            .collect();
        let sharing = sharing(costs);
        let mut compiler = Compiler {
            costs,
            detail,
            summaries,
            shared: sharing.is_some(),
            keys: BTreeMap::new(),
            messages: Vec::new(),
            transfers: BTreeMap::new(),
        };
        let roles = plan
            .roles
            .iter()
            .map(|role| compiler.role(role.stage, &slots(role)))
            .collect();
        Program {
            roles,
            messages: compiler.messages,
            sharing,
        }
    }
}

struct Compiler<'c, 'p> {
    costs: &'c Costs<'p>,
    detail: Detail,
    summaries: Vec<Summary>,
    shared: bool,
    keys: BTreeMap<(u32, u32, Wire, u32, u32), usize>,
    messages: Vec<Message>,
    /// Times by stage, peer and tensor: micro-batches take the same way.
    transfers: BTreeMap<(u32, u32, u32), u64>,
}

impl Compiler<'_, '_> {
    fn role(&mut self, stage: u32, slots: &[Slot]) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut tokens = BTreeMap::new();
        let (plan, engine) = (self.costs.plan(), self.costs.engine());
        let overlaps = engine.overlapped_chunks && plan.chunk_count() > 1;
        let mut inline =
            (engine.blocking_transfers && !overlaps).then(|| self.inline(stage, slots));
        let mut queue = Queue::of(self.costs, &self.summaries, slots);
        for (index, slot) in slots.iter().enumerate() {
            match slot {
                Slot::Call(call) => {
                    let body = &self.costs.plan().bodies[call.body.0 as usize];
                    if let Some(inline) = &mut inline {
                        actions.extend(inline.before(body, call));
                    }
                    let once = !matches!(body.kind, BodyKind::Forward | BodyKind::Backward);
                    let passes = queue.as_mut().filter(|_| !once);
                    self.call(index, call, once, passes, &mut actions);
                }
                Slot::Start(_) | Slot::Wait(_) if inline.is_some() => {}
                Slot::Start(transfer) => {
                    let side = self.side(stage, index, transfer);
                    tokens.insert(transfer.token, side);
                    actions.push(Action::Start(side));
                }
                Slot::Wait(token) => {
                    let place = Place {
                        slot: index,
                        layer: None,
                        instruction: None,
                    };
                    actions.extend(
                        tokens
                            .get(token)
                            .map(|&side| Action::Wait(Side { place, ..side })),
                    );
                }
                Slot::Mark(Mark::Optimizer) => {
                    queue
                        .iter()
                        .for_each(|queue| queue.end(index, &mut actions));
                }
                Slot::Mark(Mark::StepBegin | Mark::StepEnd) => {}
            }
        }
        let launch = self.costs.hardware().launch.value;
        add_gaps(&mut actions, self.costs.computing(launch));
        actions
    }

    fn side(&mut self, stage: u32, slot: usize, transfer: &Transfer) -> Side {
        let place = Place {
            slot,
            layer: None,
            instruction: None,
        };
        Side {
            message: self.message(stage, transfer),
            kind: transfer.kind,
            place,
        }
    }

    /// All transfers of a role by what they carry, for engines that make them in line.
    fn inline(&mut self, stage: u32, slots: &[Slot]) -> Inline {
        let (stages, mut sides) = (self.costs.plan().mesh.pp, BTreeMap::new());
        for (index, slot) in slots.iter().enumerate() {
            if let Slot::Start(transfer) = slot {
                let sends = transfer.kind == TransferKind::Send;
                let chunk = transfer.own_chunk(stage, stages);
                sides.insert(
                    (sends, (transfer.wire, chunk, transfer.micro_batch)),
                    self.side(stage, index, transfer),
                );
            }
        }
        Inline::new(self.costs.plan(), stage, slots, sides)
    }

    fn message(&mut self, stage: u32, transfer: &Transfer) -> usize {
        let (from, to) = match transfer.kind {
            TransferKind::Send => (stage, transfer.peer),
            TransferKind::Receive => (transfer.peer, stage),
        };
        let (costs, messages, transfers) = (self.costs, &mut self.messages, &mut self.transfers);
        let way = (stage, transfer.peer, transfer.tensor.0);
        *self
            .keys
            .entry((
                from,
                to,
                transfer.wire,
                transfer.chunk,
                transfer.micro_batch,
            ))
            .or_insert_with(|| {
                let priced = || costs.transfer(stage, transfer);
                let ps = *transfers.entry(way).or_insert_with(priced);
                messages.push(Message { from, to, ps });
                messages.len() - 1
            })
    }

    fn call(
        &self,
        slot: usize,
        call: &Call,
        once: bool,
        mut queue: Option<&mut Queue>,
        actions: &mut Vec<Action>,
    ) {
        if let (Detail::Calls, None) = (self.detail, &queue) {
            return self.whole(slot, call, once, actions);
        }
        let summary = &self.summaries[call.body.0 as usize];
        for visit in visits(self.costs.plan(), slot, call) {
            if let Some(queue) = &mut queue {
                queue.before(actions);
            }
            let place = Place {
                slot,
                layer: visit.layer,
                instruction: None,
            };
            match self.detail {
                Detail::Calls => self.sums(summary, 1, once, place, actions),
                Detail::Instructions => instructions(summary, once, place, actions),
            }
            if let Some(queue) = &mut queue {
                queue.after(actions);
            }
        }
    }

    fn whole(&self, slot: usize, call: &Call, once: bool, actions: &mut Vec<Action>) {
        let summary = &self.summaries[call.body.0 as usize];
        let layers = call
            .layers
            .map_or(1, |[first, last]| u64::from(last - first) + 1);
        let place = Place {
            slot,
            layer: None,
            instruction: None,
        };
        self.sums(summary, layers, once, place, actions);
    }

    /// So many runs of a body as few actions: its sums, or where it matters when it computes and when not, each run of alike ones.
    fn sums(
        &self,
        summary: &Summary,
        layers: u64,
        once: bool,
        place: Place,
        actions: &mut Vec<Action>,
    ) {
        if self.shared || summary.runs.iter().any(|cost| cost.joins != Joins::Nobody) {
            for _ in 0..layers {
                actions.extend(summary.runs.iter().map(|&cost| action(cost, once, place)));
            }
            return;
        }
        for (ps, class) in [
            (summary.compute, Class::Compute),
            (summary.communication, Class::Communication),
        ] {
            let work = Work {
                ps: ps * layers,
                class,
                busy: 0,
                once,
                place,
            };
            actions.extend((ps > 0).then_some(Action::Work(work)));
        }
    }
}

/// Issuing a transfer leaves a gap, as before any other kernel. It lengthens the work around it: what is sent waits for it, what is received
/// is asked for ahead of it.
fn add_gaps(actions: &mut [Action], gap: u64) {
    let mut owed = 0;
    for index in 0..actions.len() {
        match actions[index] {
            Action::Start(side) => {
                let before = index.checked_sub(1).map(|before| &mut actions[before]);
                match (side.kind, before) {
                    (TransferKind::Send, Some(Action::Work(work))) => work.ps += gap,
                    _ => owed += gap,
                }
            }
            _ => {
                if let Action::Work(work) = &mut actions[index] {
                    work.ps += std::mem::take(&mut owed);
                }
            }
        }
    }
}

fn instructions(summary: &Summary, once: bool, place: Place, actions: &mut Vec<Action>) {
    for (index, &cost) in summary.code.iter().enumerate() {
        let place = Place {
            instruction: Some(index),
            ..place
        };
        actions.push(action(cost, once, place));
    }
    let beyond = summary.beyond.iter();
    actions.extend(beyond.map(|&cost| action(cost, once, place)));
}

fn action(cost: Cost, once: bool, place: Place) -> Action {
    let work = Work {
        ps: cost.ps,
        class: cost.class,
        busy: cost.busy,
        once,
        place,
    };
    match cost.joins {
        Joins::Nobody => Action::Work(work),
        joins => Action::Meet(work, joins),
    }
}

/// Who shares cores on a CPU cluster.
pub fn sharing(costs: &Costs<'_>) -> Option<Sharing> {
    let cores = costs.hardware().cores.as_ref()?;
    let plan = costs.plan();
    let per_node = costs.ranks_per_node();
    let width = plan.mesh.dp * plan.mesh.tp;
    let nodes = |stage: u32| {
        let mut counts = BTreeMap::new();
        for rank in stage * width..(stage + 1) * width {
            *counts.entry(rank / per_node).or_insert(0u32) += 1;
        }
        counts.into_iter().collect()
    };
    let million = |value: f64| libm::round(value * 1e6) as u64;
    let mut curve: Vec<(u64, u64)> = cores
        .contention
        .iter()
        .map(|point| {
            (
                u64::from(point.active) * 1_000_000,
                million(point.slowdown.max(1.0)),
            )
        })
        .collect();
    if curve.is_empty() {
        let count = u64::from(cores.count.max(1)) * 1_000_000;
        curve = vec![(1_000_000, 1_000_000), (count.max(1_000_001), 1_000_000)];
    }
    Some(Sharing {
        nodes: stages(plan).map(nodes).collect(),
        curve,
    })
}

fn stages(plan: &Plan) -> impl Iterator<Item = u32> + '_ {
    plan.roles.iter().map(|role| role.stage)
}
