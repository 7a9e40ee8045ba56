//! Recomputation under a budget: what is kept fits, nothing runs again that need not, and the result is the same.

mod common;

use common::{experiment, placement};
use pleach_dsl::experiment::Experiment;
use pleach_plan::{BodyKind, Plan, Recompute};
use pleach_planner::placement::Placement;
use pleach_planner::program::{EmitError, emit};
use pleach_planner::verify::verify;

/// Two stages of the small model, selectively recomputed.
fn selective(tp: u32) -> Placement {
    Placement {
        recompute: Recompute::Selective,
        micro_batch: 1,
        ..placement(1, 2, tp)
    }
}

fn under(budget: u64, settings: &[(&str, &str)]) -> Experiment {
    let mut experiment = experiment(settings);
    experiment.plan.recompute_budget = Some(budget);
    experiment
}

/// Bytes that layers of the first stage keep when its first backward begins, with two micro-batches under way.
fn kept(plan: &Plan) -> u64 {
    let size = |id: &pleach_plan::TensorId| plan.tensors[id.0 as usize].bytes();
    let frame = |label: &str| -> u64 {
        let mut bodies = plan.bodies.iter();
        let forward = bodies.find(|body| body.name == format!("{label}.forward"));
        forward.map_or(0, |body| body.saves.iter().map(size).sum())
    };
    let layers = plan.roles[0].slots.iter().filter_map(|slot| match slot {
        pleach_plan::Slot::Call(call) => Some(call),
        _ => None,
    });
    let forward = |call: &&pleach_plan::Call| {
        let body = &plan.bodies[call.body.0 as usize];
        body.kind == BodyKind::Forward && body.block == "layer" && call.micro_batch == 0
    };
    let calls = layers.filter(forward).map(|call| {
        let label = plan.bodies[call.body.0 as usize].name.split('.').next();
        let [first, last] = call.layers.expect("layers have numbers");
        u64::from(last - first + 1) * frame(label.unwrap_or_default())
    });
    2 * calls.sum::<u64>()
}

/// Instructions of all layers' backward bodies.
fn backward(plan: &Plan) -> usize {
    let bodies = plan.bodies.iter();
    let own = bodies.filter(|body| body.kind == BodyKind::Backward && body.block == "layer");
    own.map(|body| body.code.len()).sum()
}

const STACK: (&str, &str) = (
    "model.stack",
    "2 * [layer(attention { window = 2 tokens }, mlp), layer(attention, mlp)]",
);

#[test]
fn budgets_are_kept_and_tighter_ones_run_more_again() {
    for (tp, settings) in [(1, &[][..]), (2, &[]), (1, &[STACK])] {
        let plain = experiment(settings);
        let all = Placement {
            recompute: Recompute::None,
            ..selective(tp)
        };
        let most = kept(&emit(&plain, &all).expect("it divides"));
        let mut before: Option<(u64, usize)> = None;
        for share in (0..=12).rev() {
            let experiment = under(most * share / 12, settings);
            let plan = match emit(&experiment, &selective(tp)) {
                Ok(plan) => plan,
                Err(EmitError::Budget { least, budget }) => {
                    assert!(least > budget && share < 6, "{least} of {most}");
                    continue;
                }
                Err(other) => panic!("{other}"),
            };
            assert_eq!(verify(&plan, &experiment), Ok(()));
            let now = (kept(&plan), backward(&plan));
            assert!(now.0 <= most * share / 12);
            if let Some(before) = before {
                assert!(now.0 <= before.0 && now.1 >= before.1, "{now:?} {before:?}");
            }
            before = Some(now);
        }
    }
}

#[test]
fn a_wide_budget_keeps_all_and_the_least_is_what_full_recomputation_keeps() {
    let emitted = |experiment: &Experiment, recompute| {
        let placement = Placement {
            recompute,
            ..selective(1)
        };
        emit(experiment, &placement)
    };
    let plain = experiment(&[]);
    let none = emitted(&plain, Recompute::None).expect("it divides");
    let wide = emitted(&under(u64::MAX, &[]), Recompute::Selective).expect("it divides");
    assert_eq!(none.bodies, wide.bodies);
    let full = emitted(&plain, Recompute::Full).expect("it divides");
    let refused = emitted(&under(1, &[]), Recompute::Selective);
    let least = kept(&full);
    assert_eq!(refused, Err(EmitError::Budget { least, budget: 1 }));
    let exact = emitted(&under(least, &[]), Recompute::Selective).expect("it fits");
    assert_eq!(kept(&exact), least);
}
