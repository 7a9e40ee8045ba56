//! Reductions that may begin early: what they rest on is settled by then, and nothing comes between.

mod common;

use std::collections::BTreeSet;

use common::{experiment, placement};
use pleach_plan::early::{Early, early};
use pleach_plan::walk::{Event, Visit, walk};
use pleach_plan::{BodyKind, Instr, Lives, Mark, Op, Plan, Role, TensorId};
use pleach_planner::placement::Placement;
use pleach_planner::program;

fn emitted(changes: &[(&str, &str)], placement: &Placement) -> Plan {
    program::emit(&experiment(changes), placement).unwrap_or_else(|error| panic!("{error}"))
}

/// Static storages, with the layer of layered ones.
fn storages(plan: &Plan, instr: &Instr, layer: Option<u32>) -> BTreeSet<(TensorId, Option<u32>)> {
    let operands = instr.ins.iter().chain(&instr.updates);
    let tensors = operands.map(|id| &plan.tensors[id.0 as usize]);
    tensors
        .filter(|tensor| tensor.lives != Lives::Local)
        .map(|tensor| {
            let base = tensor.view.map_or(tensor.id, |view| view.base);
            (base, layer.filter(|_| tensor.lives.is_layered()))
        })
        .collect()
}

/// Between the end that an instruction waits for and its place, nothing touches its storage or calls its group.
fn assert_free(plan: &Plan, role: &Role, early: &Early<'_>) {
    let own = storages(plan, early.instr, early.at.1);
    let mut is_between = false;
    for event in walk(plan, role) {
        match event {
            Event::Leave(visit) if (visit.slot, visit.layer) == early.behind => is_between = true,
            Event::Run(visit, index, instr) if is_between => {
                if (visit.slot, visit.layer, index) == (early.at.0, early.at.1, early.index) {
                    return;
                }
                let other = storages(plan, instr, visit.layer);
                assert!(own.is_disjoint(&other), "{instr:?} comes between {early:?}");
                let late = matches!(visit.body.kind, BodyKind::Reduce);
                let same = instr.op.group() == early.instr.op.group();
                assert!(late || instr.op.group().is_none() || !same, "{instr:?}");
            }
            _ => {}
        }
    }
    panic!("{early:?} is never reached");
}

/// What is cut into slices is zeroed before anybody looks at it again: behind its place in this step and from the start of the next.
fn assert_spent(plan: &Plan, role: &Role, early: &Early<'_>) {
    if !matches!(early.instr.op, Op::ReduceScatter { .. }) {
        return;
    }
    let own = storages(plan, early.instr, early.at.1);
    let place = |visit: &Visit<'_>, index| (visit.slot, visit.layer, index);
    let at = (early.at.0, early.at.1, early.index);
    let run = |event| match event {
        Event::Run(visit, index, instr) => Some((place(&visit, index), instr, visit.layer)),
        _ => None,
    };
    let behind = walk(plan, role).filter_map(run);
    let behind = behind.skip_while(|(here, ..)| *here != at).skip(1);
    for (_, instr, layer) in behind.chain(walk(plan, role).filter_map(run)) {
        if own.is_disjoint(&storages(plan, instr, layer)) {
            continue;
        }
        assert!(matches!(instr.op, Op::Zero {}), "{instr:?} reads {early:?}");
        return;
    }
}

#[test]
fn nothing_comes_between_a_reduction_and_its_place() {
    let tied = [("model.tied", "true")];
    let lanes = [("train.sums", "reproducible { lanes = 4 }")];
    for changes in [&[][..], &tied, &lanes] {
        for (dp, pp, tp) in [(2, 1, 1), (4, 1, 1), (2, 2, 1), (2, 2, 2), (2, 1, 2)] {
            for (zero, shards) in [(0, dp), (1, dp), (1, 2), (2, 2)] {
                let placement = Placement {
                    zero,
                    shards,
                    vpp: pp,
                    ..placement(dp, pp, tp)
                };
                if !changes.is_empty() && changes == lanes && zero > 1 {
                    continue;
                }
                let plan = emitted(changes, &placement);
                for role in &plan.roles {
                    let all = early(&plan, role);
                    all.iter().for_each(|own| assert_free(&plan, role, own));
                    all.iter().for_each(|own| assert_spent(&plan, role, own));
                    let whole = zero < 2 && tp == 1;
                    let scattered = zero == 2 && shards == dp;
                    assert!(!scattered || all.is_empty(), "{placement:?}");
                    assert!(!whole || all.len() >= 2, "{placement:?}: {}", all.len());
                }
            }
        }
    }
}

/// The last layers are final first: their sums begin while the first ones still compute.
#[test]
fn the_last_layers_come_first_and_before_the_optimizer() {
    let plan = emitted(&[], &placement(2, 1, 1));
    let role = &plan.roles[0];
    let optimizer = role
        .slots
        .iter()
        .position(|slot| matches!(slot, pleach_plan::Slot::Mark(Mark::Optimizer)));
    let all = early(&plan, role);
    let layers: Vec<u32> = all.iter().filter_map(|own| own.at.1).collect();
    assert!(
        layers.is_sorted_by(|one, other| one >= other) && layers.len() > 1,
        "{layers:?}"
    );
    assert!(all.iter().all(|own| Some(own.behind.0) < optimizer));
    assert!(all.iter().all(|own| Some(own.at.0) > optimizer));
}

#[test]
fn one_replica_has_nothing_to_sum() {
    let plan = emitted(&[], &placement(1, 2, 2));
    assert!(plan.roles.iter().all(|role| early(&plan, role).is_empty()));
}
