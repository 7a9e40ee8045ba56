//! Walks one step of all stages and numbers every value: what the program means, whatever it is spread over.
//!
//! In comes a plan whose structure has been checked, out come the stages' memories after the step, and on demand a log of every
//! result and every gain of an accumulator.

use std::collections::BTreeMap;

use pleach_plan::walk::{Event, Visit, walk};
use pleach_plan::{Instr, Mark, Op, Plan, Reduce, TensorId, Transfer, TransferKind, Wire};

use super::declared;
use super::fault::Fault;
use super::held::{Flat, Held, Item, Sizes};
use super::memory::{self, Memory};
use super::number::Number;
use super::rules::{Effect, Reach, Site, apply, apply_flat, reduce_over};

/// The most declarations that are listed.
const MISDECLARED: usize = 8;

/// What happened at an instruction, for explanations.
pub struct Entry<'p> {
    /// The stage.
    pub stage: u32,
    /// The body's execution.
    pub visit: Visit<'p>,
    /// Index of the instruction.
    pub index: usize,
    /// Its operands before, for instructions that make something meaningless of what had a meaning.
    pub operands: Option<Vec<Held>>,
    /// Its results.
    pub made: Vec<(TensorId, Held)>,
    /// What accumulators gained.
    pub gained: Vec<(TensorId, Number)>,
}

/// All stages after a step.
pub struct Walked<'p> {
    /// What each stage holds.
    pub memories: Vec<Memory<'p>>,
    /// What happened, if that was asked for.
    pub log: Vec<Entry<'p>>,
    /// Declared layouts that are not the ones found.
    pub misdeclared: Vec<Fault>,
}

/// The axes of a plan's stages.
pub fn site(plan: &Plan) -> Site {
    let ranks = [u64::from(plan.mesh.dp), u64::from(plan.mesh.tp)];
    let blocks = u64::from(plan.mesh.blocks());
    Site {
        sizes: Sizes { ranks, blocks },
        stages: u64::from(plan.mesh.pp),
        micro_batch: 0,
    }
}

/// Walks a step.
pub fn walk_step(plan: &Plan, logged: bool) -> Walked<'_> {
    let site = site(plan);
    let mut stages: Vec<Stage> = plan
        .roles
        .iter()
        .map(|role| Stage::new(plan, role.stage, &site))
        .collect();
    let mut shared = Shared {
        plan,
        site,
        logged,
        log: Vec::new(),
        sent: BTreeMap::new(),
        misdeclared: Vec::new(),
    };
    loop {
        let mut moved = false;
        for stage in &mut stages {
            moved |= stage.advance(&mut shared);
        }
        moved |= shared.meet(&mut stages);
        if !moved {
            break;
        }
    }
    Walked {
        memories: stages.into_iter().map(|stage| stage.memory).collect(),
        log: shared.log,
        misdeclared: shared.misdeclared,
    }
}

/// Sending and receiving stage, and what travels.
type Channel = (u32, u32, Wire);

struct Shared<'p> {
    plan: &'p Plan,
    site: Site,
    logged: bool,
    log: Vec<Entry<'p>>,
    sent: BTreeMap<Channel, Vec<Held>>,
    misdeclared: Vec<Fault>,
}

struct Stage<'p> {
    number: u32,
    memory: Memory<'p>,
    events: Box<dyn Iterator<Item = Event<'p>> + 'p>,
    next: Option<Event<'p>>,
    open: BTreeMap<u32, (&'p Transfer, usize)>,
    received: BTreeMap<(u32, Wire), usize>,
}

impl<'p> Stage<'p> {
    fn new(plan: &'p Plan, number: u32, site: &Site) -> Self {
        let role = &plan.roles[number as usize];
        let mut events: Box<dyn Iterator<Item = Event<'p>> + 'p> = Box::new(walk(plan, role));
        let next = events.next();
        let memory = Memory::new(plan, role, site);
        Stage {
            number,
            memory,
            events,
            next,
            open: BTreeMap::new(),
            received: BTreeMap::new(),
        }
    }

    /// Goes on until the stage needs another one.
    fn advance(&mut self, shared: &mut Shared<'p>) -> bool {
        let mut moved = false;
        while let Some(event) = self.next {
            match event {
                Event::Enter(visit) => self.memory.enter(&visit),
                Event::Leave(visit) => self.memory.leave(&visit),
                Event::Mark(_, Mark::Optimizer) => shared.gradients(self.number, &self.memory),
                Event::Mark(..) => {}
                Event::Start(_, transfer) => self.start(transfer, shared),
                Event::Wait(_, token) if !self.wait(token, shared) => return moved,
                Event::Wait(..) => {}
                Event::Run(_, _, instr) if shared.spans(instr) => return moved,
                Event::Run(visit, index, instr) => {
                    shared.run(self.number, &mut self.memory, &visit, (index, instr))
                }
            }
            self.next = self.events.next();
            moved = true;
        }
        moved
    }

    fn start(&mut self, transfer: &'p Transfer, shared: &mut Shared<'p>) {
        let index = match transfer.kind {
            TransferKind::Send => {
                let held = self.memory.unplug(transfer.wire, transfer.micro_batch);
                shared
                    .sent
                    .entry((self.number, transfer.peer, transfer.wire))
                    .or_default()
                    .push(held);
                0
            }
            TransferKind::Receive => {
                let count = self
                    .received
                    .entry((transfer.peer, transfer.wire))
                    .or_default();
                *count += 1;
                *count - 1
            }
        };
        self.open.insert(transfer.token, (transfer, index));
    }

    /// Ends a transfer; says whether it could.
    fn wait(&mut self, token: u32, shared: &Shared<'p>) -> bool {
        let Some(&(transfer, index)) = self.open.get(&token) else {
            return true;
        };
        if transfer.kind == TransferKind::Receive {
            let sent = shared
                .sent
                .get(&(transfer.peer, self.number, transfer.wire));
            let Some(held) = sent.and_then(|sent| sent.get(index)) else {
                return false;
            };
            self.memory
                .plug(transfer.wire, transfer.micro_batch, held.clone());
        }
        true
    }
}

impl<'p> Shared<'p> {
    fn spans(&self, instr: &Instr) -> bool {
        let group = instr
            .op
            .group()
            .map(|group| &self.plan.groups[group.0 as usize]);
        group.is_some_and(|group| Reach::new(group, &self.site).stages)
    }

    fn run(
        &mut self,
        stage: u32,
        memory: &mut Memory<'p>,
        visit: &Visit<'p>,
        (index, instr): (usize, &'p Instr),
    ) {
        let site = Site {
            micro_batch: visit.micro_batch,
            ..self.site
        };
        let read = |ids: &[TensorId]| {
            ids.iter()
                .map(|&id| memory.read(id, visit.layer))
                .collect::<Vec<_>>()
        };
        let (ins, updates) = (read(&instr.ins), read(&instr.updates));
        let [changed, made] = effect(self.plan, instr, &ins, &updates, &site);
        self.declarations(stage, visit, (index, instr), &made);
        if self.logged {
            let gained = gains(instr, &ins, &updates, &site);
            let sound = !ins.iter().any(Held::is_odd);
            let broken = made.iter().any(Held::is_odd)
                || changed
                    .iter()
                    .zip(&updates)
                    .any(|(after, before)| after.is_odd() && !before.is_odd());
            let operands = (sound && broken).then(|| ins.iter().chain(&updates).cloned().collect());
            let made = instr
                .outs
                .iter()
                .copied()
                .zip(made.iter().cloned())
                .collect();
            self.log.push(Entry {
                stage,
                visit: *visit,
                index,
                operands,
                made,
                gained,
            });
        }
        settle(memory, visit, instr, changed, made);
    }

    /// Compares results with their declarations.
    fn declarations(
        &mut self,
        stage: u32,
        visit: &Visit<'p>,
        (index, instr): (usize, &Instr),
        made: &[Held],
    ) {
        for (&id, held) in instr.outs.iter().zip(made) {
            let tensor = &self.plan.tensors[id.0 as usize];
            let place = || declared::place(stage, visit, index);
            let fault = declared::result(tensor, held, place, &self.site);
            self.misdeclared
                .extend(fault.filter(|_| self.misdeclared.len() < MISDECLARED));
        }
    }

    /// Compares gradients with their declarations.
    fn gradients(&mut self, stage: u32, memory: &Memory) {
        let role = &self.plan.roles[stage as usize];
        let faults = declared::gradients(self.plan, role, memory, &self.site);
        let room = MISDECLARED.saturating_sub(self.misdeclared.len());
        self.misdeclared.extend(faults.into_iter().take(room));
    }

    /// Lets stages pass that stand at a collective of one group with all others that belong to it.
    fn meet(&mut self, stages: &mut [Stage<'p>]) -> bool {
        let mut moved = false;
        for group in self.plan.groups.iter().filter(|group| group.spans_stages()) {
            let members = stages
                .iter()
                .filter(|stage| self.plan.mesh.takes_part(group, stage.number));
            let at: Vec<Option<(u32, Visit<'p>, &'p Instr)>> = members
                .map(|stage| match stage.next {
                    Some(Event::Run(visit, _, instr)) if instr.op.group() == Some(group.id) => {
                        Some((stage.number, visit, instr))
                    }
                    _ => None,
                })
                .collect();
            let at: Option<Vec<_>> = at.into_iter().collect();
            if let Some(at) = at.filter(|at| self.spans(at[0].2)) {
                self.pass(stages, &at);
                moved = true;
            }
        }
        moved
    }

    /// Gives the members of a collective over stages its result.
    fn pass(&self, stages: &mut [Stage<'p>], at: &[(u32, Visit<'p>, &'p Instr)]) {
        let given = at.iter().map(|(stage, visit, instr)| {
            let id = instr.ins.first().or(instr.updates.first());
            id.map_or_else(
                || Held::odd("nothing given"),
                |&id| stages[*stage as usize].memory.read(id, visit.layer),
            )
        });
        let result = self.joined(at[0].2, &given.collect::<Vec<_>>());
        for (stage, visit, instr) in at {
            let (changed, made) = match instr.updates.is_empty() {
                true => (vec![], vec![result.clone()]),
                false => (vec![result.clone()], vec![]),
            };
            let stage = &mut stages[*stage as usize];
            settle(&mut stage.memory, visit, instr, changed, made);
            stage.next = stage.events.next();
        }
    }

    /// What every stage has after a collective over stages: only sums have a meaning there.
    fn joined(&self, instr: &Instr, given: &[Held]) -> Held {
        let group = instr
            .op
            .group()
            .map(|group| &self.plan.groups[group.0 as usize]);
        let sums = matches!(
            instr.op,
            Op::AllReduce {
                reduce: Reduce::Sum,
                ..
            }
        );
        let Some(reach) = group
            .filter(|_| sums)
            .map(|group| Reach::new(group, &self.site))
        else {
            return Held::odd("collective over stages");
        };
        let sum = |items: Vec<Item>| {
            let zero = Item::whole(Number::ZERO);
            let sum = items
                .into_iter()
                .fold(zero, |sum, item| sum.plus(item, self.site.sizes));
            reduce_over(&instr.op, sum, reach, &self.site)
        };
        let flats: Option<Vec<&Flat>> = given.iter().map(flat).collect();
        match (items(given), flats) {
            (Some(items), _) => Held::One(sum(items)),
            (None, Some(flats)) => joined_flats(&flats, reach, sum),
            (None, None) => Held::odd("collective over stages"),
        }
    }
}

fn flat(held: &Held) -> Option<&Flat> {
    match held {
        Held::Flat(flat) => Some(flat),
        Held::One(_) => None,
    }
}

/// Flat storages of several stages, part by part; a group that also reaches over their cut has no meaning.
fn joined_flats(flats: &[&Flat], reach: Reach, sum: impl Fn(Vec<Item>) -> Item) -> Held {
    let first = flats[0];
    let alike = flats.iter().all(|flat| flat.fits(first));
    if !alike || first.cut.is_some_and(|cut| reach.axes[cut]) {
        return Held::odd("collective over stages");
    }
    let part = |index: usize| sum(flats.iter().map(|flat| flat.parts[index].1).collect());
    let parts = first.parts.iter().enumerate();
    Held::Flat(Flat {
        parts: parts
            .map(|(index, &(length, _))| (length, part(index)))
            .collect(),
        cut: first.cut,
    })
}

/// New values of updates, and results.
fn effect(
    plan: &Plan,
    instr: &Instr,
    ins: &[Held],
    updates: &[Held],
    site: &Site,
) -> [Vec<Held>; 2] {
    let group = instr.op.group().map(|group| &plan.groups[group.0 as usize]);
    let odd = || {
        let why = "meaningless";
        [
            vec![Held::odd(why); instr.updates.len()],
            vec![Held::odd(why); instr.outs.len()],
        ]
    };
    if let (Op::Zero {}, &[out]) = (&instr.op, &instr.outs[..]) {
        let made = memory::zeros(plan, out).map(Held::Flat);
        return made.map_or_else(odd, |made| [vec![], vec![made]]);
    }
    let wrap = |items: Vec<Item>| items.into_iter().map(Held::One).collect::<Vec<_>>();
    let (Some(plain), Some(sums)) = (items(ins), items(updates)) else {
        return apply_flat(&instr.op, group, ins, updates, site).unwrap_or_else(odd);
    };
    let effect = match group {
        None => apply(&instr.op, &plain, &sums, site),
        Some(group) => plain.first().or(sums.first()).map(|&given| {
            let result = reduce_over(&instr.op, given, Reach::new(group, site), site);
            match sums.is_empty() {
                true => Effect {
                    updates: vec![],
                    outs: vec![result],
                },
                false => Effect {
                    updates: vec![result],
                    outs: vec![],
                },
            }
        }),
    };
    effect.map_or_else(odd, |effect| [wrap(effect.updates), wrap(effect.outs)])
}

fn items(held: &[Held]) -> Option<Vec<Item>> {
    let item = |held: &Held| match held {
        Held::One(item) => Some(*item),
        Held::Flat(_) => None,
    };
    held.iter().map(item).collect()
}

/// What an operation adds to gradients: its effect on zeros.
fn gains(instr: &Instr, ins: &[Held], updates: &[Held], site: &Site) -> Vec<(TensorId, Number)> {
    let accumulates = matches!(
        instr.op,
        Op::EmbeddingBackward { .. }
            | Op::PositionsBackward { .. }
            | Op::HeadNormBackward(_)
            | Op::LayerNormBackward {}
            | Op::RmsNormBackward {}
            | Op::LinearBackwardWeight {}
            | Op::ExpertLinearBackwardWeight {}
            | Op::ConvolutionBackward {}
            | Op::ScanBackward {}
            | Op::BiasBackward {}
    );
    let (true, Some(plain)) = (accumulates, items(ins)) else {
        return Vec::new();
    };
    let zeros = vec![Item::whole(Number::ZERO); updates.len()];
    let effect = apply(&instr.op, &plain, &zeros, site).unwrap_or_default();
    instr
        .updates
        .iter()
        .copied()
        .zip(effect.updates.into_iter().map(|item| item.number))
        .collect()
}

fn settle(
    memory: &mut Memory<'_>,
    visit: &Visit<'_>,
    instr: &Instr,
    changed: Vec<Held>,
    made: Vec<Held>,
) {
    for (&id, held) in instr
        .updates
        .iter()
        .zip(changed)
        .chain(instr.outs.iter().zip(made))
    {
        memory.write(id, visit.layer, held);
    }
    instr.frees.iter().for_each(|&id| memory.free(id));
}
