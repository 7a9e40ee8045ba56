//! The structural check: accepts what the reference interpreter runs, refuses what it cannot, and never panics.

mod sample;

use pleach_plan::check::{Fault, What, check};
use pleach_plan::*;
use sample::{ONE, Shape, plan};

const ALL: Shape = Shape {
    dp: 2,
    micro_batch: 2,
    pp: 2,
    tp: 2,
    zero: 1,
    ..ONE
};

fn faults(change: impl FnOnce(&mut Plan)) -> Vec<Fault> {
    let mut plan = plan(ALL);
    change(&mut plan);
    check(&plan).expect_err("it must be refused")
}

fn message(change: impl FnOnce(&mut Plan)) -> String {
    faults(change)[0].to_string()
}

fn body<'p>(plan: &'p mut Plan, name: &str) -> &'p mut Body {
    plan.bodies
        .iter_mut()
        .find(|body| body.name == name)
        .expect("a known body")
}

fn tensor<'p>(plan: &'p mut Plan, name: &str) -> &'p mut Tensor {
    plan.tensors
        .iter_mut()
        .find(|tensor| tensor.name == name)
        .expect("a known tensor")
}

#[test]
fn programs_that_run_are_accepted() {
    for shape in [
        ONE,
        ALL,
        Shape { zero: 0, ..ALL },
        Shape { pp: 1, ..ALL },
        Shape {
            tp: 1,
            micro_steps: 3,
            ..ALL
        },
    ] {
        assert_eq!(check(&plan(shape)), Ok(()));
    }
}

#[test]
fn the_header_is_checked() {
    assert!(message(|plan| plan.mesh.tp = 0).contains("mesh.tp is 0"));
    assert!(message(|plan| plan.mesh.dp = u32::MAX).contains("more than 1048576 ranks"));
    assert!(message(|plan| drop(plan.roles.pop())).contains("1 roles for 2 pipeline stages"));
    assert!(
        message(|plan| plan.training.global_batch = 9)
            .contains("9 is not micro-batch 2 × 2 micro-steps × dp 2 = 8")
    );
    assert!(
        message(|plan| plan.roles[1].chunks = vec![[1, u32::MAX]]).contains("layers, more than")
    );
    assert!(
        message(|plan| plan.roles[0].chunks = vec![[1, 0]])
            .contains("the next layer to place is 0")
    );
    assert!(message(|plan| plan.groups[2].axes.swap(0, 1)).contains("not sorted"));
}

#[test]
fn tables_are_checked() {
    assert!(
        message(|plan| tensor(plan, "up").dims = vec![u64::MAX, 3])
            .contains("more than 2^60 bytes")
    );
    assert!(message(|plan| plan.report = TensorId(9999)).contains("there is no tensor 9999"));
    let outside = message(|plan| {
        tensor(plan, "head.weight").view = Some(View {
            base: plan.buckets[2].weights,
            offset: u64::MAX,
        });
    });
    assert!(
        outside.contains("of `head.weights`, which has"),
        "{outside}"
    );
    assert!(message(|plan| plan.buckets[0].length = 3).contains("length is 3 of 16"));
    let moved = message(|plan| {
        let id = plan.parameters[2].tensor;
        plan.tensors[id.0 as usize].view.as_mut().unwrap().offset -= 1;
    });
    assert!(moved.contains("its offset"), "{moved}");
}

#[test]
fn bodies_are_checked() {
    let shape = message(|plan| body(plan, "layer.forward").code[0].ins.reverse());
    assert_eq!(
        shape,
        "body layer.forward, instruction 0 (linear): x has dimensions [3, 4], but its form is [B, S, K]"
    );
    let size = message(|plan| tensor(plan, "up").dims[2] = 5);
    assert!(
        size.contains("y has dimensions [2, 3, 5]: dimension 2 (N) must be 3 as in weight"),
        "{size}"
    );
    assert!(
        message(|plan| body(plan, "layer.forward").code[4].frees.clear())
            .contains("`out` is neither freed nor saved")
    );
    assert!(
        message(|plan| body(plan, "layer.forward").code.swap(0, 1))
            .contains("reads `up`, which has no value")
    );
    assert!(
        message(|plan| body(plan, "head.forward").code[1].op = Op::Add {})
            .contains("term has dimensions")
    );
    let group = message(|plan| {
        body(plan, "step.reduce").code[0].op = Op::AllReduce {
            group: GroupId(7),
            reduce: Reduce::Sum,
        }
    });
    assert!(
        group.contains("there is no group 7: the plan has 3"),
        "{group}"
    );
    let rotary = message(|plan| {
        body(plan, "layer.forward").code[1].op = Op::SplitHeads(Split {
            head_dim: 0,
            rotary: 0,
            base: 1.0,
            scale: 1.0,
            group: 1,
        });
    });
    assert!(rotary.contains("its head_dim is 0"), "{rotary}");
}

#[test]
fn roles_are_checked() {
    let call = |name: &'static str| move |plan: &Plan, slot: &Slot| matches!(slot, Slot::Call(call) if plan.bodies[call.body.0 as usize].name == name);
    let without = |name: &'static str| {
        faults(|plan| {
            let whole = plan.clone();
            plan.roles[0].slots.retain(|slot| !call(name)(&whole, slot));
        })
    };
    let what = |faults: &[Fault]| faults[0].what.clone();
    assert!(matches!(
        what(&without("layer.forward")),
        What::WireShape { .. } | What::FrameEmpty { .. }
    ));
    assert!(matches!(
        what(&without("embedding.forward")),
        What::WireEmpty { .. }
    ));
    let unread = without("embedding.backward");
    assert!(
        unread
            .iter()
            .any(|fault| matches!(fault.what, What::WireLeft { .. })),
        "{unread:?}"
    );
    assert!(matches!(
        what(&without("step.reduce")),
        What::Deadlock { .. }
    ));
    assert!(matches!(
        what(&without("layer.reduce")),
        What::FrameEmpty { .. }
    ));
    assert!(matches!(
        what(&faults(
            |plan| plan.roles[0].slots[0] = Slot::Mark(Mark::StepEnd)
        )),
        What::Marks { .. }
    ));
    assert!(matches!(
        what(&faults(|plan| plan.roles[0].statics.truncate(3))),
        What::Foreign { .. }
    ));
    let late = faults(|plan| {
        let slots = &mut plan.roles[0].slots;
        let mark = slots
            .iter()
            .position(|slot| *slot == Slot::Mark(Mark::Optimizer))
            .unwrap();
        slots.swap(mark, mark + 1);
    });
    assert!(matches!(
        what(&late),
        What::Phase {
            kind: BodyKind::Reduce,
            side: "before"
        }
    ));
}

#[test]
fn transfers_are_checked_between_roles() {
    let transfer = |plan: &mut Plan, stage: usize, nth: usize, change: &dyn Fn(&mut Transfer)| {
        let mut starts = plan.roles[stage]
            .slots
            .iter_mut()
            .filter_map(|slot| match slot {
                Slot::Start(transfer) => Some(transfer),
                _ => None,
            });
        change(starts.nth(nth).unwrap());
    };
    let peer = message(|plan| transfer(plan, 0, 0, &|transfer| transfer.peer = 5));
    assert!(peer.contains("a transfer with stage 5 of 2"), "{peer}");
    let crossed = faults(|plan| {
        let find = |slots: &[Slot], micro_batch: u32| {
            slots
                .iter()
                .position(|slot| {
                    matches!(slot, Slot::Start(transfer)
                if transfer.kind == TransferKind::Receive && transfer.micro_batch == micro_batch)
                })
                .unwrap()
        };
        let slots = &mut plan.roles[1].slots;
        let (first, second) = (find(slots, 0), find(slots, 1));
        slots.swap(first, second);
        slots.swap(first + 1, second + 1);
    });
    assert!(
        crossed
            .iter()
            .any(|fault| matches!(fault.what, What::WireEmpty { .. })),
        "{crossed:?}"
    );
    let early = faults(|plan| {
        // Both stages wait for the other's gradient and activation before they begin their own side.
        let slots = &mut plan.roles[0].slots;
        let send = slots
            .iter()
            .position(|slot| matches!(slot, Slot::Start(_)))
            .unwrap();
        slots[send..send + 4].rotate_left(2);
    });
    assert!(
        matches!(&early[0].what, What::Deadlock { stages } if stages.len() == 2),
        "{early:?}"
    );
}

/// Any number in the plan's JSON replaced by an absurd one: refused or accepted, but never a panic.
#[test]
fn no_number_makes_it_panic() {
    let text = json::write(&plan(ALL));
    let numbers = number_spans(&text);
    assert!(numbers.len() > 500);
    for (index, &(begin, end)) in numbers.iter().enumerate() {
        let absurd = ["0", "1", "4294967295", "18446744073709551615", "7"][index % 5];
        let changed = format!("{}{absurd}{}", &text[..begin], &text[end..]);
        if let Ok(plan) = serde_json::from_str::<Plan>(&changed) {
            let _ = check(&plan);
        }
    }
}

/// Where whole numbers stand in JSON outside strings.
fn number_spans(text: &str) -> Vec<(usize, usize)> {
    let (mut spans, mut quoted, mut begin) = (Vec::new(), false, None);
    for (index, byte) in text.bytes().enumerate() {
        quoted ^= byte == b'"';
        match (byte.is_ascii_digit() && !quoted, begin) {
            (true, None) => begin = Some(index),
            (false, Some(first)) => {
                spans.push((first, index));
                begin = None;
            }
            _ => {}
        }
    }
    spans
}
