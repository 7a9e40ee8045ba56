//! The reference interpreter on hand-made plans: every placement means the same, and what cannot be run says why.

mod sample;

use pleach_plan::reference::{Inputs, Outcome, Stuck, Why, distance, run};
use pleach_plan::{Body, Dtype, Op, Plan, Slot, TransferKind};
use sample::{ONE, Shape, plan};

/// Runs two steps from values and tokens that depend only on names and indices.
fn outcome(plan: &Plan) -> Result<Outcome, Stuck> {
    let initial = |name: &str, index: u64| {
        let seed = name.bytes().fold(7_u64, |seed, byte| {
            seed.wrapping_mul(31).wrapping_add(u64::from(byte))
        });
        libm::sin((seed % 1000) as f64 + index as f64 * 1.7) * 0.5
    };
    let tokens = |sample: u64| {
        (0..4)
            .map(|position| ((sample * 5 + position * 3 + sample * position) % 8) as i64)
            .collect()
    };
    run(
        plan,
        &Inputs {
            initial: &initial,
            tokens: &tokens,
            gradients: true,
        },
        2,
    )
}

#[test]
fn every_placement_means_the_same() {
    let one = outcome(&plan(ONE)).unwrap();
    assert!(
        one.reports[1].loss < one.reports[0].loss,
        "it learns: {:?}",
        one.reports
    );
    let placements = [
        Shape { tp: 2, ..ONE },
        Shape { pp: 2, ..ONE },
        Shape {
            dp: 2,
            micro_batch: 2,
            ..ONE
        },
        Shape {
            dp: 2,
            micro_batch: 2,
            zero: 1,
            ..ONE
        },
        Shape {
            dp: 2,
            micro_batch: 2,
            tp: 2,
            zero: 1,
            ..ONE
        },
        Shape {
            dp: 2,
            micro_batch: 2,
            pp: 2,
            tp: 2,
            ..ONE
        },
        Shape {
            dp: 4,
            micro_batch: 2,
            micro_steps: 1,
            zero: 1,
            pp: 2,
            ..ONE
        },
    ];
    for shape in placements {
        let other = outcome(&plan(shape)).unwrap();
        assert!(
            distance(&one, &other) < 1e-12,
            "{} {} {}: {}",
            shape.dp,
            shape.pp,
            shape.tp,
            distance(&one, &other)
        );
        assert_gradients_agree(&one, &other);
    }
}

fn assert_gradients_agree(one: &Outcome, other: &Outcome) {
    for (left, right) in one.gradients.iter().zip(&other.gradients) {
        assert!(left.keys().eq(right.keys()));
        for (left, right) in left.values().flatten().zip(right.values().flatten()) {
            assert!((left - right).abs() < 1e-13, "{left} and {right}");
        }
    }
}

/// The gradients are those of the loss: central differences through the whole program.
#[test]
fn gradients_are_the_slopes_of_the_loss() {
    let plan = plan(Shape { tp: 2, ..ONE });
    let tokens = |sample: u64| {
        (0..4)
            .map(|position| ((sample * 3 + position) % 8) as i64)
            .collect()
    };
    let loss = |moved: (&str, u64, f64)| {
        let initial = |name: &str, index: u64| {
            let base = libm::sin(name.len() as f64 * 3.1 + index as f64 * 1.3) * 0.4;
            if (name, index) == (moved.0, moved.1) {
                base + moved.2
            } else {
                base
            }
        };
        run(
            &plan,
            &Inputs {
                initial: &initial,
                tokens: &tokens,
                gradients: true,
            },
            1,
        )
        .unwrap()
    };
    for (name, index) in [
        ("embedding.weight", 5),
        ("layers.1.up.weight", 11),
        ("layers.0.down.weight", 3),
        ("head.weight", 20),
    ] {
        let (up, down) = (loss((name, index, 1e-5)), loss((name, index, -1e-5)));
        let slope = (up.reports[0].loss - down.reports[0].loss) / 2e-5;
        let gradient = loss((name, index, 0.0)).gradients[0][name][index as usize];
        assert!(
            (slope - gradient).abs() < 1e-9,
            "{name}[{index}]: {slope} and {gradient}"
        );
    }
}

fn body<'p>(plan: &'p mut Plan, name: &str) -> &'p mut Body {
    plan.bodies
        .iter_mut()
        .find(|body| body.name == name)
        .expect("a known body")
}

fn why(change: impl FnOnce(&mut Plan)) -> Why {
    let mut plan = plan(Shape {
        dp: 2,
        micro_batch: 2,
        pp: 2,
        tp: 2,
        ..ONE
    });
    change(&mut plan);
    *outcome(&plan).expect_err("it must get stuck").why
}

#[test]
fn what_is_undefined_or_left_over_is_said() {
    let dropped = why(|plan| drop(body(plan, "layer.forward").code.remove(1)));
    assert!(matches!(dropped, Why::Undefined(name) if name == "act"));
    let twice = why(|plan| {
        let code = &mut body(plan, "layer.forward").code;
        code.insert(1, code[1].clone());
    });
    assert!(matches!(twice, Why::AssignedTwice(name) if name == "act"));
    let leaked = why(|plan| body(plan, "layer.forward").code[4].frees.clear());
    assert!(matches!(leaked, Why::Leftover(names) if names == ["out"]));
    let unsaved = why(|plan| body(plan, "head.forward").saves.truncate(4));
    assert!(matches!(unsaved, Why::Leftover(names) if names == ["sums"]));
}

#[test]
fn ranks_that_disagree_or_wait_for_ever_are_said() {
    let apart = why(|plan| {
        body(plan, "layer.reduce")
            .code
            .retain(|instr| !matches!(instr.op, Op::AllReduce { .. }))
    });
    assert!(matches!(apart, Why::Disagree { .. }), "{apart}");
    let unsent = why(|plan| {
        let slots = &mut plan.roles[1].slots;
        let send = |slot: &Slot| matches!(slot, Slot::Start(transfer) if transfer.kind == TransferKind::Send);
        let index = slots.iter().position(send).unwrap();
        slots.swap(index, index + 1);
    });
    assert!(matches!(unsent, Why::Token(_)), "{unsent}");
    let alone = why(|plan| {
        let step = plan
            .bodies
            .iter()
            .find(|body| body.name == "step.reduce")
            .unwrap()
            .id;
        plan.roles[1]
            .slots
            .retain(|slot| !matches!(slot, Slot::Call(call) if call.body == step));
    });
    assert!(matches!(alone, Why::Deadlock(_)), "{alone}");
}

#[test]
fn operands_that_do_not_fit_are_said() {
    let mixed = why(|plan| {
        let id = plan
            .tensors
            .iter()
            .position(|tensor| tensor.name == "up")
            .unwrap();
        plan.tensors[id].dtype = Dtype::F32;
    });
    assert!(matches!(mixed, Why::Declared { .. }), "{mixed}");
    let misfit = why(|plan| body(plan, "layer.forward").code[2].ins.swap(0, 1));
    assert!(matches!(misfit, Why::Unfit(_)), "{misfit}");
}
