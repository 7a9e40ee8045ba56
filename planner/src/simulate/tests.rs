//! The simulation against what is known without it.

use pleach_plan::hardware::Figure;
use pleach_plan::walk::{Event, walk};
use pleach_plan::{Call, Plan, Slot, ledger};

use super::sample::{cluster, pipeline};
use super::{Detail, Simulation, actions, run};
use crate::cost::Costs;
use crate::hardware::{self, Hardware};
use crate::memory;

fn gpu() -> Hardware {
    hardware::plain("a100_80g").unwrap()
}

fn simulate(plan: &Plan, hardware: &Hardware, detail: Detail) -> Simulation {
    let cluster = cluster(&hardware.name, plan.mesh.ranks().into());
    run(&Costs::new(plan, hardware, &cluster), detail).unwrap()
}

#[test]
fn a_summary_is_the_walk_over_the_unrolled_code() {
    let (plan, hardware) = (pipeline(3, 4, 5, 1 << 20), gpu());
    let cluster = cluster("a100_80g", 3);
    let costs = Costs::new(&plan, &hardware, &cluster);
    for role in &plan.roles {
        let unrolled: u64 = walk(&plan, role)
            .map(|event| {
                if let Event::Run(_, _, instr) = event {
                    costs.instr(instr).ps
                } else {
                    0
                }
            })
            .sum();
        let summed: u64 = role
            .slots
            .iter()
            .map(|slot| match slot {
                Slot::Call(call) => {
                    let summary = actions::summary(&costs, &plan.bodies[call.body.0 as usize]);
                    let layers = call
                        .layers
                        .map_or(1, |[first, last]| u64::from(last - first) + 1);
                    layers * (summary.compute + summary.communication)
                }
                Slot::Start(_) | Slot::Wait(_) | Slot::Mark(_) => 0,
            })
            .sum();
        assert_eq!(unrolled, summed);
    }
}

/// A host that takes longer to issue operations than the device takes to run them sets the pace, in whole calls and in traces.
#[test]
fn a_device_waits_for_its_host() {
    let (plan, mut hardware) = (pipeline(1, 2, 3, 1 << 10), gpu());
    let free = simulate(&plan, &hardware, Detail::Calls).step;
    let seconds = 1e-3;
    hardware.host = Some(Figure {
        value: seconds,
        source: "made up".into(),
    });
    let cluster = cluster("a100_80g", 1);
    let costs = Costs::new(&plan, &hardware, &cluster);
    let issued = |call: &Call| {
        let layers = call.layers.map_or(1, |[first, last]| last - first + 1);
        plan.bodies[call.body.0 as usize].code.len() as f64 * f64::from(layers)
    };
    let calls = plan.roles[0].slots.iter().filter_map(|slot| match slot {
        Slot::Call(call) => Some(issued(call)),
        _ => None,
    });
    let host = calls.sum::<f64>() * seconds * costs.engine().dispatch * 1e12;
    let whole = simulate(&plan, &hardware, Detail::Calls).step;
    let single = simulate(&plan, &hardware, Detail::Instructions).step;
    assert!(
        whole as f64 >= host * 0.999 && whole > free,
        "{whole} {host} {free}"
    );
    assert_eq!(whole, single);
}

#[test]
fn whole_calls_and_single_instructions_take_the_same_step() {
    for plan in [
        pipeline(1, 2, 3, 1 << 16),
        pipeline(4, 3, 8, 1 << 22),
        pipeline(4, 1, 2, 1 << 10),
    ] {
        let [whole, fine] =
            [Detail::Calls, Detail::Instructions].map(|detail| simulate(&plan, &gpu(), detail));
        assert_eq!((whole.step, &whole.roles), (fine.step, &fine.roles));
        assert!(whole.spans.is_empty() && !fine.spans.is_empty());
    }
}

#[test]
fn what_fills_a_stage_sums_to_the_step() {
    for hardware in [gpu(), hardware::find("this_machine", None).unwrap()] {
        let simulation = simulate(&pipeline(4, 3, 8, 1 << 20), &hardware, Detail::Calls);
        for role in &simulation.roles {
            assert_eq!(
                role.compute + role.communication + role.bubble + role.optimizer,
                simulation.step
            );
        }
    }
}

#[test]
fn one_forward_one_backward_has_its_known_bubble() {
    let (stages, micro_steps) = (4, 8);
    let plan = pipeline(stages, 3, micro_steps, 1 << 24);
    let mut hardware = gpu();
    // Transfers and collectives of no length: then a step is (m + p - 1) slots.
    let links = hardware.links.as_mut().unwrap();
    (links.intra_node.value, links.intra_latency.value) = (1e30, 1e-30);
    hardware.collective.clear();
    hardware.launch.value = 0.0;
    let cluster = cluster("a100_80g", 4);
    let costs = Costs::new(&plan, &hardware, &cluster);
    let slot: u64 = 3 * plan.bodies[..2]
        .iter()
        .map(|body| actions::summary(&costs, body).compute)
        .sum::<u64>();
    let simulation = simulate(&plan, &hardware, Detail::Calls);
    let expected = u64::from(micro_steps + stages - 1) * slot;
    assert!(
        simulation.step.abs_diff(expected) < expected / 1000,
        "{} {expected}",
        simulation.step
    );
    let bubble = u64::from(stages - 1) * slot;
    assert!(
        simulation
            .roles
            .iter()
            .all(|role| role.bubble.abs_diff(bubble) < expected / 1000)
    );
}

/// A transfer takes a gap of the stage that issues it, as a kernel does, however little it carries.
#[test]
fn every_transfer_is_issued() {
    let plan = pipeline(2, 3, 8, 1 << 20);
    let mut hardware = gpu();
    let links = hardware.links.as_mut().unwrap();
    (links.intra_node.value, links.intra_latency.value) = (1e30, 1e-30);
    let launch = crate::cost::picoseconds(hardware.launch.value);
    let simulation = simulate(&plan, &hardware, Detail::Calls);
    let cluster = cluster("a100_80g", 2);
    let costs = Costs::new(&plan, &hardware, &cluster);
    for (role, time) in plan.roles.iter().zip(&simulation.roles) {
        let alone = |slot: &Slot| match slot {
            Slot::Call(call) => {
                let summary = actions::summary(&costs, &plan.bodies[call.body.0 as usize]);
                let layers = call.layers.map_or(1, |[first, last]| last - first + 1);
                u64::from(layers) * (summary.compute + summary.communication)
            }
            Slot::Start(_) => launch,
            Slot::Wait(_) | Slot::Mark(_) => 0,
        };
        let worked: u64 = role.slots.iter().map(alone).sum();
        let busy = time.compute + time.communication + time.optimizer;
        assert!(launch > 0 && busy >= worked, "{busy} {worked}");
    }
}

#[test]
fn ranks_that_share_cores_slow_each_other_down() {
    let mut hardware = hardware::find("this_machine", None).unwrap();
    hardware.collective.clear();
    hardware.transfer = vec![pleach_plan::hardware::SizePoint {
        bytes: 1,
        seconds: 1e-12,
    }];
    let cores = hardware.cores.as_mut().unwrap();
    let point = |active, slowdown| pleach_plan::hardware::Contention { active, slowdown };
    cores.contention = vec![point(1, 1.0), point(2, 1.0), point(4, 2.0)];
    let plan = pipeline(4, 1, 64, 1 << 16);
    let shared = simulate(&plan, &hardware, Detail::Calls).step;
    hardware.cores = None;
    let own = simulate(&plan, &hardware, Detail::Calls).step;
    // Four busy stages on two cores: the steady state takes twice as long.
    let ratio = shared as f64 / own as f64;
    assert!(ratio > 1.8 && ratio < 2.01, "{ratio}");
}

#[test]
fn a_receive_without_a_send_is_named() {
    let mut plan = pipeline(2, 1, 2, 1 << 10);
    plan.roles[0].slots.retain(|slot| !matches!(slot, Slot::Start(transfer) if transfer.micro_batch == 1 && transfer.token < 4));
    let cluster = cluster("a100_80g", 2);
    let stuck = run(&Costs::new(&plan, &gpu(), &cluster), Detail::Calls).unwrap_err();
    assert!(stuck.to_string().contains("stage"), "{stuck}");
}

#[test]
fn memory_without_unrolling_is_the_ledger() {
    for plan in [
        pipeline(1, 2, 3, 1000),
        pipeline(4, 3, 8, 4096),
        pipeline(3, 1, 2, 64),
    ] {
        let hardware = hardware::find("this_machine", None).unwrap();
        let cluster = cluster("this_machine", plan.mesh.ranks().into());
        let stages = memory::stages(&Costs::new(&plan, &hardware, &cluster));
        for (role, stage) in plan.roles.iter().zip(stages) {
            let summary = ledger::summary(&plan, role);
            assert_eq!(
                (stage.named, stage.allocated),
                (summary.named_peak, summary.allocated_peak)
            );
            let sum = stage.parameters
                + stage.gradients
                + stage.optimizer
                + stage.activations
                + stage.buffers;
            assert_eq!(sum + stage.overhead, stage.peak);
        }
    }
}

#[test]
fn transfers_in_line_meet_whatever_the_shape() {
    for (stages, micro_steps) in [(1, 1), (2, 1), (4, 1), (4, 2), (4, 4), (3, 7), (5, 16)] {
        let mut plan = pipeline(stages, 2, micro_steps, 1 << 22);
        let beside = simulate(&plan, &gpu(), Detail::Calls).step;
        plan.engine = "neox".into();
        let inline = simulate(&plan, &gpu(), Detail::Calls).step;
        assert!(
            inline >= beside,
            "{stages} stages, {micro_steps} micro-batches: {inline} < {beside}"
        );
    }
}
