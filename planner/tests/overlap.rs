//! Collectives over replicas beside the computation: how long a step can and must take, and what is held for it.

mod common;

use common::{experiment, placement};
use pleach_dsl::experiment::Experiment;
use pleach_plan::hardware::Hardware;
use pleach_plan::{Call, Plan, Slot};
use pleach_planner::cost::Costs;
use pleach_planner::placement::Placement;
use pleach_planner::simulate::{self, Detail, Simulation, actions, beside};
use pleach_planner::{hardware, memory, program};

const REPLICAS: u32 = 4;

fn planned(engine: &str, zero: u32) -> (Experiment, Plan) {
    let experiment = experiment(&[
        ("model.layers", "8"),
        ("model.hidden", "512"),
        ("model.context", "1024 tokens"),
        ("train.precision", "bf16"),
        ("train.global_batch", "16 sequences"),
    ]);
    let placement = Placement {
        zero,
        micro_batch: 2,
        engine: engine.into(),
        ..placement(REPLICAS, 1, 1)
    };
    let plan = program::emit(&experiment, &placement).unwrap_or_else(|error| panic!("{error}"));
    (experiment, plan)
}

/// A GPU whose links inside a node have so many bytes a second.
fn linked(bandwidth: f64) -> Hardware {
    let mut hardware = hardware::plain("a100_80g").expect("it is built in");
    let links = hardware.links.as_mut().expect("a GPU has links");
    links.intra_node.value = bandwidth;
    hardware.collective.clear();
    hardware.host = None;
    hardware
}

/// What all calls compute, and what passes the queue.
fn sums(costs: &Costs<'_>) -> [u64; 2] {
    let role = &costs.plan().roles[0];
    let layers = |call: &Call| call.layers.map_or(1, |[first, last]| last - first + 1);
    let calls = role.slots.iter().filter_map(|slot| match slot {
        Slot::Call(call) => Some(call),
        _ => None,
    });
    calls.fold([0, 0], |[inline, queued], call| {
        let body = &costs.plan().bodies[call.body.0 as usize];
        let summary = actions::summary(costs, body);
        let times = u64::from(layers(call));
        [
            inline + times * (summary.compute + summary.communication),
            queued + times * (summary.gather + summary.scatter),
        ]
    })
}

fn simulated(engine: &str, zero: u32, hardware: &Hardware) -> (Simulation, [u64; 2]) {
    let (experiment, plan) = planned(engine, zero);
    let costs = Costs::new(&plan, hardware, &experiment.cluster);
    let simulation = simulate::run(&costs, Detail::Calls).expect("it ends");
    (simulation, sums(&costs))
}

#[test]
fn a_step_takes_the_longer_of_both_and_no_more_than_the_sum() {
    for bandwidth in [1e8, 1e9, 1e10, 1e11, 1e12] {
        for (engine, zero) in [("fsdp", 3), ("fsdp", 2), ("fsdp_compiled", 3)] {
            let (simulation, [inline, queued]) = simulated(engine, zero, &linked(bandwidth));
            let place = format!("{engine}, zero {zero}, {bandwidth} B/s");
            assert!(queued > 0, "{place}");
            let slowed = inline as f64 * beside::INTERFERENCE as f64 / 1e6;
            assert!(simulation.step >= inline.max(queued), "{place}");
            assert!(simulation.step as f64 <= slowed + queued as f64, "{place}");
        }
    }
}

/// Where links are fast, only the first gather and the last scatter are waited for.
#[test]
fn what_runs_beside_is_not_waited_for() {
    let (simulation, [_, queued]) = simulated("fsdp", 3, &linked(4e10));
    let waited = simulation.roles[0].communication;
    assert!(waited > 0 && waited < queued / 4, "{waited} of {queued}");
}

/// Where links are slow, computing hides behind them but for what comes before the first gather's end or behind the last one.
#[test]
fn slow_links_set_the_pace() {
    let (simulation, [inline, queued]) = simulated("fsdp", 3, &linked(1e7));
    assert!(simulation.step < queued + inline / 4, "{simulation:?}");
}

#[test]
fn an_engine_that_does_not_run_ahead_waits_for_everything() {
    let (simulation, [inline, queued]) = simulated("pleach", 3, &linked(1e10));
    assert_eq!((simulation.step, queued), (inline, 0));
}

/// Sums once a step hide behind the last backward, new weights behind the first forward.
#[test]
fn replicas_that_meet_once_a_step_overlap_too() {
    let (simulation, [inline, queued]) = simulated("fsdp", 1, &linked(3e10));
    let waited = simulation.roles[0].communication;
    assert!(
        queued > 0 && simulation.step < inline + queued / 2,
        "{simulation:?}"
    );
    assert!(waited < queued / 2, "{waited} of {queued}");
}

#[test]
fn single_instructions_take_the_same_step_as_calls() {
    let (experiment, plan) = planned("fsdp", 3);
    let hardware = linked(1e10);
    let costs = Costs::new(&plan, &hardware, &experiment.cluster);
    let [whole, fine] = [Detail::Calls, Detail::Instructions]
        .map(|detail| simulate::run(&costs, detail).expect("it ends"));
    // Work that is slowed down is rounded up action by action.
    assert!(
        fine.step.abs_diff(whole.step) < 10_000,
        "{} {}",
        fine.step,
        whole.step
    );
    assert!(fine.spans.iter().any(|span| span.transfer));
}

/// One further layer's weights, and the gradients of one in 32 bits.
#[test]
fn what_runs_beside_is_held() {
    let (experiment, plan) = planned("fsdp", 3);
    let hardware = linked(1e10);
    let mut inline = plan.clone();
    inline.engine = "pleach".to_owned();
    let [ahead, own] = [&plan, &inline].map(|plan| {
        let costs = Costs::new(plan, &hardware, &experiment.cluster);
        beside::held(&costs, &plan.roles[0])
    });
    let bytes = |name: &str, width: u64| {
        let found = plan.tensors.iter().find(|tensor| tensor.name == name);
        let tensor = found.unwrap_or_else(|| panic!("there is no {name}"));
        tensor.elements() * width
    };
    let layers = plan.buckets.iter().filter(|bucket| plan.is_layered(bucket));
    let expected: u64 = layers
        .map(|bucket| {
            let weights = &plan.tensors[bucket.weights.0 as usize];
            bytes(&weights.name, weights.dtype.bytes()) + weights.elements() * 4
        })
        .sum();
    assert_eq!((ahead, own), (expected, 0));
    let costs = Costs::new(&plan, &hardware, &experiment.cluster);
    assert!(memory::stages(&costs)[0].buffers >= expected);
}
