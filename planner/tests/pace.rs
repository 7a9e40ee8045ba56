//! Engines whose host sets the pace: what further ranks of a collective add where stages hand on across nodes.

mod common;

use common::{experiment, placement};
use pleach_dsl::experiment::Experiment;
use pleach_plan::hardware::{Figure, Hardware, Pace};
use pleach_planner::cost::Costs;
use pleach_planner::placement::Placement;
use pleach_planner::simulate::{self, Detail};
use pleach_planner::{hardware, program};

/// A device whose host takes a millisecond for an operation of one engine, and another for each further rank.
fn paced(engine: &str) -> Hardware {
    let mut hardware = hardware::find("h100_80g", None).expect("it is built in");
    let figure = |value: f64| Figure {
        value,
        source: "made up".into(),
    };
    hardware.paces = vec![Pace {
        engine: engine.into(),
        host: figure(1e-3),
        skew: figure(1e-3),
    }];
    hardware
}

/// Seconds of a step on some nodes of two ranks.
fn step(hardware: &Hardware, nodes: u64, dp: u32, pp: u32, tp: u32) -> f64 {
    let mut experiment: Experiment = experiment(&[("train.global_batch", "16 sequences")]);
    experiment.cluster.nodes = nodes;
    experiment.cluster.gpus_per_node = u64::from(dp * pp * tp) / nodes;
    let placement = Placement {
        engine: "nanotron".into(),
        ..placement(dp, pp, tp)
    };
    let plan = program::emit(&experiment, &placement).unwrap_or_else(|error| panic!("{error}"));
    let costs = Costs::new(&plan, hardware, &experiment.cluster);
    let simulation = simulate::run(&costs, Detail::Calls).expect("it ends");
    simulation.step as f64 / 1e12
}

#[test]
fn further_ranks_count_only_where_stages_hand_on_across_nodes() {
    let (own, other) = (paced("nanotron"), paced("megatron"));
    let skewed = |nodes, dp, pp, tp| {
        let mut even = own.clone();
        even.paces[0].skew.value = 0.0;
        step(&own, nodes, dp, pp, tp) - step(&even, nodes, dp, pp, tp)
    };
    assert!(skewed(2, 1, 2, 2) > 0.05);
    assert!(skewed(1, 1, 2, 2) == 0.0, "one node");
    assert!(skewed(2, 2, 1, 2) == 0.0, "one stage");
    assert!(skewed(2, 2, 2, 1) == 0.0, "one rank");
    assert!(step(&own, 1, 2, 1, 1) > 10.0 * step(&other, 1, 2, 1, 1));
}
