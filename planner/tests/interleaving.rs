//! Interleaved stages: every count of stages, chunks and micro-batches ends, and bubble and memory are those of the literature.

mod common;

use common::{experiment, placement};
use pleach_dsl::experiment::Experiment;
use pleach_plan::hardware::Hardware;
use pleach_plan::{BodyKind, Plan, check};
use pleach_planner::cost::Costs;
use pleach_planner::placement::Placement;
use pleach_planner::simulate::{self, Detail, Stuck, actions};
use pleach_planner::{hardware, memory, program, verify};

fn interleaved(layers: u64, batch: u64, pp: u32, vpp: u32) -> (Experiment, Plan) {
    let (layers, batch) = (layers.to_string(), format!("{batch} sequences"));
    let experiment = experiment(&[("model.layers", &layers), ("train.global_batch", &batch)]);
    let placement = Placement {
        vpp,
        micro_batch: 1,
        ..placement(1, pp, 1)
    };
    let plan = program::emit(&experiment, &placement).unwrap_or_else(|error| panic!("{error}"));
    (experiment, plan)
}

/// Simulates a plan with engines whose stages wait for their transfers and with one whose do not.
fn ends(experiment: &Experiment, plan: &mut Plan, hardware: &Hardware) -> Result<(), Stuck> {
    for engine in ["pleach", "megatron"] {
        plan.engine = engine.to_owned();
        let costs = Costs::new(plan, hardware, &experiment.cluster);
        simulate::run(&costs, Detail::Calls)?;
    }
    Ok(())
}

#[test]
fn every_pipeline_ends_and_means_the_same() {
    let hardware = hardware::plain("a100_80g").expect("it is built in");
    for pp in 2..=5 {
        for vpp in 2..=4 {
            for groups in 1..=3 {
                // One layer more than chunks: they are not all alike.
                let layers = u64::from(pp * vpp) + 1;
                let (experiment, mut plan) = interleaved(layers, u64::from(groups * pp), pp, vpp);
                let place = format!("pp {pp}, vpp {vpp}, {groups} groups");
                check::check(&plan).unwrap_or_else(|faults| panic!("{place}: {faults:#?}"));
                assert!(verify::verify(&plan, &experiment).is_ok(), "{place}");
                let ended = ends(&experiment, &mut plan, &hardware);
                ended.unwrap_or_else(|stuck| panic!("{place}: {stuck}"));
            }
        }
    }
}

#[test]
fn chunks_shorten_the_bubble_by_their_number() {
    let mut hardware = hardware::plain("a100_80g").expect("it is built in");
    let links = hardware.links.as_mut().expect("a GPU has links");
    (links.intra_node.value, links.intra_latency.value) = (1e30, 1e-30);
    hardware.collective.clear();
    let bubble = |vpp: u32| {
        let (experiment, plan) = interleaved(24, 16, 4, vpp);
        let costs = Costs::new(&plan, &hardware, &experiment.cluster);
        let simulation = simulate::run(&costs, Detail::Calls).expect("it ends");
        let of = |block: &str| {
            let bodies = plan.bodies.iter().filter(|body| {
                body.block == block && matches!(body.kind, BodyKind::Forward | BodyKind::Backward)
            });
            bodies
                .map(|body| actions::summary(&costs, body).compute)
                .sum::<u64>()
        };
        // The middle stages have layers only, and their waiting is the ends' extra work and the bubble.
        (simulation.roles[1].bubble as f64, (6 * of("layer")) as f64)
    };
    let [(one, stage), (two, _), (three, _)] = [1, 2, 3].map(bubble);
    let ideal = 3.0 * stage;
    assert!(
        (one - two - ideal / 2.0).abs() < 0.05 * ideal,
        "{one} {two} {ideal}"
    );
    assert!(
        (one - three - ideal * 2.0 / 3.0).abs() < 0.05 * ideal,
        "{one} {three} {ideal}"
    );
}

/// The first stage keeps `1 + (p - 1) / (p v)` times a stage's activations of as many micro-batches as there are stages (arXiv 2205.05198,
/// section 4.2.3).
#[test]
fn the_first_stage_keeps_more() {
    let hardware = hardware::plain("a100_80g").expect("it is built in");
    let frames = |vpp: u32| {
        let (experiment, plan) = interleaved(24, 16, 4, vpp);
        let costs = Costs::new(&plan, &hardware, &experiment.cluster);
        let layer = memory::frame(&costs, "layer") as f64;
        memory::stages(&costs)[0].activations as f64 / (6.0 * layer)
    };
    let (one, three) = (frames(1), frames(3));
    assert!((one - 4.0).abs() < 0.3, "{one}");
    assert!((three - 4.0 * (1.0 + 3.0 / 12.0)).abs() < 0.3, "{three}");
}
