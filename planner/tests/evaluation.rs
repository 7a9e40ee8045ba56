//! Measuring what is held out: how often it is due, and what a batch takes beside a step.

mod common;

use common::{experiment, placement};
use pleach_plan::{Evaluation, HeldOut};
use pleach_planner::cost::Costs;
use pleach_planner::placement::Placement;
use pleach_planner::simulate::{self, Detail};
use pleach_planner::{engine, hardware, program};

#[test]
fn every_engine_measures_a_batch_in_a_part_of_a_step() {
    let experiment = experiment(&[
        ("model.layers", "8"),
        ("train.global_batch", "16 sequences"),
    ]);
    let (mut measured, mut engines) = (0, 0);
    for name in engine::names() {
        let before = measured;
        for (dp, pp, tp, vpp, zero) in [
            (1, 1, 1, 1, 0),
            (4, 1, 1, 1, 1),
            (4, 1, 1, 1, 3),
            (1, 1, 2, 1, 0),
            (1, 4, 1, 1, 0),
            (2, 2, 1, 2, 0),
            (2, 4, 2, 2, 1),
        ] {
            let placement = Placement {
                vpp,
                zero,
                engine: name.into(),
                ..placement(dp, pp, tp)
            };
            // Not every engine has every placement.
            let Ok(plan) = program::emit(&experiment, &placement) else {
                continue;
            };
            for device in ["a100_80g", "this_machine"] {
                let hardware = hardware::plain(device).expect("it is built in");
                let costs = Costs::new(&plan, &hardware, &experiment.cluster);
                let step = simulate::run(&costs, Detail::Calls).expect("it ends").step;
                let batch = simulate::measuring(&costs).expect("it ends");
                let part = batch as f64 / step as f64;
                assert!((0.1..0.6).contains(&part), "{name}, {placement:?}: {part}");
                measured += 1;
            }
        }
        engines += usize::from(measured > before);
    }
    assert_eq!(engines, engine::names().count());
    assert!(measured > 100, "{measured}");
}

#[test]
fn how_often_it_is_due_is_what_steps_say() {
    for every in [None, Some(1), Some(3), Some(10)] {
        for at_end in [false, true] {
            for (after, last) in [(0, 0), (0, 9), (0, 10), (4, 12), (6, 7), (9, 40)] {
                let evaluation = Evaluation {
                    every,
                    at_end,
                    batches: 1,
                    part: HeldOut::Validation,
                };
                let due = |end| {
                    let steps = after + 1..=last;
                    steps.filter(|&done| evaluation.is_due(done, end)).count() as u64
                };
                let (regular, once_more) = evaluation.times(after, last);
                if last > after {
                    assert_eq!(regular, due(u64::MAX), "{evaluation:?} {after} {last}");
                    assert_eq!(regular + u64::from(once_more), due(last), "{evaluation:?}");
                }
            }
        }
    }
}
