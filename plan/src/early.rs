//! What of the end of a step may begin before its place in the program: reductions of gradients that are final while others still
//! form.
//!
//! Only what needs no room of its own before its place: sums in place, and sums of which each replica keeps a slice, where nothing reads what they were
//! made of any more, so that the slice can wait in there.
//!
//! In come a plan and a role, out come those instructions and, for each, behind which body's end all that it reads and changes is settled. The
//! program stays as it is written: whoever can do something beside the computation may begin there, and whoever cannot does it in its
//! place. Nothing between the two touches the instruction's storage, and nothing else uses its group, so both give the same.

use std::collections::{BTreeMap, BTreeSet};

use crate::walk::{Event, Visit, walk};
use crate::{Body, BodyKind, GroupId, Instr, Lives, Op, Plan, Role, TensorId};

/// A place in a step: slot and layer of a visit.
pub type At = (usize, Option<u32>);

/// An instruction that may begin early.
#[derive(Clone, Copy, Debug)]
pub struct Early<'p> {
    /// The visit behind whose end it may begin.
    pub behind: At,
    /// The visit that it belongs to.
    pub at: At,
    /// Its index there.
    pub index: usize,
    /// The instruction: a sum in place, or one whose slice can wait in its operand.
    pub instr: &'p Instr,
}

/// A storage of a rank: layered ones by layer.
type Key = (TensorId, Option<u32>);

/// The instructions of a role that may begin early, in the order in which they may.
pub fn early<'p>(plan: &'p Plan, role: &'p Role) -> Vec<Early<'p>> {
    let busy = busy(plan, role);
    let read = read_behind(plan, role);
    let mut last: BTreeMap<Key, (usize, At, BodyKind)> = BTreeMap::new();
    let mut found: Vec<(usize, Early<'p>)> = Vec::new();
    for (number, event) in walk(plan, role).enumerate() {
        let Event::Leave(visit) = event else {
            continue;
        };
        let here = (visit.slot, visit.layer);
        if visit.body.kind == BodyKind::Reduce {
            for (index, instr, key) in reductions(plan, &visit, &busy) {
                let Some(&(since, behind, kind)) = last.get(&key) else {
                    continue;
                };
                let is_cut = matches!(instr.op, Op::ReduceScatter { .. });
                if is_cut && read.contains(&key) {
                    continue;
                }
                if matches!(kind, BodyKind::Backward | BodyKind::Fold) {
                    let early = Early {
                        behind,
                        at: here,
                        index,
                        instr,
                    };
                    found.push((since, early));
                }
            }
        }
        for key in touched(plan, visit.body, visit.layer) {
            last.insert(key, (number, here, visit.body.kind));
        }
    }
    found.sort_by_key(|&(since, _)| since);
    found.into_iter().map(|(_, early)| early).collect()
}

/// Storages whose values are looked at behind a reduction that cuts them into slices: by a later instruction, or by the next step before it zeroes them.
fn read_behind(plan: &Plan, role: &Role) -> BTreeSet<Key> {
    let (mut cut, mut zeroed, mut read) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for event in walk(plan, role) {
        let Event::Run(visit, _, instr) = event else {
            continue;
        };
        for key in keys(plan, instr, visit.layer) {
            match instr.op {
                Op::Zero {} => {
                    zeroed.insert(key);
                }
                Op::ReduceScatter { .. } if zeroed.contains(&key) && !cut.contains(&key) => {
                    cut.insert(key);
                }
                _ if cut.contains(&key) || !zeroed.contains(&key) => {
                    read.insert(key);
                }
                _ => {}
            }
        }
    }
    read
}

/// Groups that the role's passes or the step as a whole use, and those that other stages wait at.
fn busy(plan: &Plan, role: &Role) -> BTreeSet<GroupId> {
    let mut busy: BTreeSet<GroupId> = BTreeSet::new();
    for event in walk(plan, role) {
        let Event::Enter(visit) = event else {
            continue;
        };
        let is_late = matches!(visit.body.kind, BodyKind::Reduce | BodyKind::Update);
        if !is_late || visit.body.block == "step" {
            busy.extend(visit.body.code.iter().filter_map(|instr| instr.op.group()));
        }
    }
    let spanning = plan.groups.iter().filter(|group| group.spans_stages());
    busy.extend(spanning.map(|group| group.id));
    busy
}

/// The reductions of a body whose storage nothing before them in it touches.
fn reductions<'p>(
    plan: &'p Plan,
    visit: &Visit<'p>,
    busy: &BTreeSet<GroupId>,
) -> Vec<(usize, &'p Instr, Key)> {
    let mut seen: BTreeSet<Key> = BTreeSet::new();
    let mut found = Vec::new();
    for (index, instr) in visit.body.code.iter().enumerate() {
        let id = match instr.op {
            Op::AllReduce { .. } => instr.updates.first(),
            Op::ReduceScatter { dim: 0, .. } => instr.ins.first(),
            _ => None,
        };
        let key = id.and_then(|&id| key(plan, id, visit.layer));
        let free = instr.op.group().is_some_and(|group| !busy.contains(&group));
        if let Some(key) = key.filter(|key| free && !seen.contains(key)) {
            found.push((index, instr, key));
        }
        seen.extend(keys(plan, instr, visit.layer));
    }
    found
}

fn touched(plan: &Plan, body: &Body, layer: Option<u32>) -> BTreeSet<Key> {
    body.code
        .iter()
        .flat_map(|instr| keys(plan, instr, layer))
        .collect()
}

fn keys(plan: &Plan, instr: &Instr, layer: Option<u32>) -> Vec<Key> {
    let operands = instr.ins.iter().chain(&instr.updates);
    operands.filter_map(|&id| key(plan, id, layer)).collect()
}

/// The static storage behind a name; none for what a body makes.
fn key(plan: &Plan, id: TensorId, layer: Option<u32>) -> Option<Key> {
    let tensor = &plan.tensors[id.0 as usize];
    let base = tensor.view.map_or(id, |view| view.base);
    match tensor.lives {
        Lives::Local => None,
        Lives::Static => Some((base, None)),
        Lives::Layered | Lives::Kind(_) => Some((base, layer)),
    }
}
