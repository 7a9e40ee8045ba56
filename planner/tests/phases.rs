//! A run of phases: each planned by itself, one behind the other, and held against its experiment as a whole.

use std::collections::BTreeMap;

use pleach_dsl::experiment::Experiment;
use pleach_plan::{Plan, Recompute};
use pleach_planner::placement::Placement;
use pleach_planner::program::emit;
use pleach_planner::verify::verify;
use pleach_planner::{phases, rate};

const SPEC: &str = include_str!("common/small.pleach");

/// The small experiment with two lengths of sequences, two batches and two rates.
fn staged() -> Experiment {
    let rows = "name | lasts | context | global_batch | lr
        short | 6 steps | 4 tokens | 16 sequences | -
        long | 4 steps | 8 tokens | 8 sequences | linear { to = 0 }";
    let old = "steps        = 10 steps\n    global_batch = 8 sequences";
    assert!(SPEC.contains(old));
    let text = SPEC.replace(old, &format!("phases = table {{\n{rows}\n}}"));
    let files = BTreeMap::from([("small.pleach".to_owned(), text)]);
    let loaded = pleach_dsl::load("small.pleach", &files, &[], None);
    let problems = loaded.problems.render(false);
    loaded.experiment.unwrap_or_else(|| panic!("{problems}"))
}

fn placement(dp: u32, tp: u32) -> Placement {
    Placement {
        tp,
        pp: 1,
        vpp: 1,
        dp,
        zero: 0,
        shards: dp,
        sequence_parallel: false,
        micro_batch: 2,
        recompute: Recompute::None,
        engine: "pleach".into(),
    }
}

/// The run's plan, its phases on these placements.
fn plan(placements: [Placement; 2]) -> Plan {
    let phases = phases::of(&staged());
    let plans = phases.iter().zip(&placements);
    let mut plans = plans.map(|(phase, placement)| emit(phase, placement).expect("it divides"));
    let mut first = plans.next().expect("two phases");
    first.then = plans.collect();
    first
}

#[test]
fn phases_have_their_own_shapes_and_go_on_where_the_last_one_ended() {
    let plan = plan([placement(2, 1), placement(1, 2)]);
    assert_eq!(verify(&plan, &staged()), Ok(()));
    let [short, long] = &plan.phases().collect::<Vec<_>>()[..] else {
        panic!("two phases")
    };
    let (short, long) = (&short.training, &long.training);
    assert_eq!(
        (short.sequence, short.global_batch, short.steps),
        (4, 16, 6)
    );
    assert_eq!((long.sequence, long.global_batch, long.steps), (8, 8, 10));
    assert_eq!((long.begins.steps, long.begins.samples), (6, 96));
    assert_eq!((long.phase_samples(7), long.samples(7)), (8, 104));
    assert_eq!(
        (plan.run_steps(), plan.phase_after(5), plan.phase_after(6)),
        (10, 0, 1)
    );
    assert_eq!(plan.phase_after(10), 1);
}

#[test]
fn every_step_has_the_rate_of_the_run() {
    let experiment = staged();
    let mut step = 0;
    for phase in phases::of(&experiment) {
        let schedule = rate::schedule(&phase.train);
        for _ in 0..phase.train.steps {
            let (own, whole) = (schedule.rate(step), rate::of_step(&experiment.train, step));
            assert_eq!(own, whole, "step {step}");
            step += 1;
        }
    }
    assert_eq!(step, 10);
}

#[test]
fn phases_that_do_not_follow_one_another_are_refused() {
    let refused = |change: fn(&mut Plan)| {
        let mut plan = plan([placement(2, 1), placement(1, 2)]);
        change(&mut plan);
        let faults = verify(&plan, &staged()).expect_err("it must be refused");
        faults[0].to_string()
    };
    for (says, change) in [
        (
            "begins where the one before",
            (|plan| plan.then[0].training.begins.steps = 5) as fn(&mut Plan),
        ),
        ("begins where the one before", |plan| {
            plan.then[0].training.begins.samples = 5
        }),
        ("number of phases", |plan| plan.then.clear()),
        ("number of phases", |plan| {
            let again = plan.then[0].clone();
            plan.then.push(again);
        }),
        ("same parameters", |plan| {
            plan.then[0].parameters[0].name.push('x')
        }),
        ("one experiment", |plan| {
            plan.then[0].hashes.experiment.push('x')
        }),
        ("schedule", |plan| {
            plan.then[0].training.schedule = plan.training.schedule
        }),
    ] {
        let message = refused(change);
        assert!(message.contains(says), "{says}: {message}");
    }
    let other = plan([placement(2, 1), placement(1, 1)]);
    let message = verify(&other, &staged()).expect_err("other ranks")[0].to_string();
    assert!(message.contains("same ranks"), "{message}");
}
