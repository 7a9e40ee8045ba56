//! The search against brute force, and what must hold of its bounds.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use pleach_dsl::experiment::{
    Checkpoints, Cluster, Dataset, Dense, Evaluate, Experiment, Experts, Log, Mixer, Mlp, Model,
    Precision, Price, Train, Wishes,
};
use pleach_dsl::wish::Choice;
use pleach_plan::hardware::Hardware;
use proptest::prelude::*;

use super::bound::{Bound, Key, price};
use super::evaluate::{Evaluated, evaluate_cut};
use super::outline::Outlines;
use super::why::{Pin, why_not};
use super::{Options, exhaustive, plan, space};
use crate::graph::shape::Shape;
use crate::hardware;
use crate::placement::Placement;
use crate::program::Layouts;
use crate::simulate::sample::cluster;

fn model([layers, hidden, heads]: [u64; 3]) -> Model {
    Shape::neox([layers, hidden, heads, 256, 256]).model()
}

/// So many nodes and ranks of a device, and layers, width, heads and batch of a model.
pub(super) fn experiment(
    device: &str,
    [nodes, ranks]: [u64; 2],
    [layers, hidden, heads, batch]: [u64; 4],
) -> Experiment {
    let precision = if device == "this_machine" {
        Precision::Fp32
    } else {
        Precision::Bf16
    };
    Experiment {
        name: "small".into(),
        seed: 0,
        model: model([layers, hidden, heads]),
        data: Dataset::plain("none", "", "bytes"),
        train: Train::plain(100, batch, 1e-3, precision),
        checkpoints: Checkpoints::at_the_end(),
        log: Log::default(),
        evaluate: Evaluate::default(),
        cluster: Cluster {
            nodes,
            ..cluster(device, ranks)
        },
        plan: Wishes::open(),
        hash: String::new(),
        origins: BTreeMap::new(),
    }
}

/// One layer looks near, and the head reads the embedding's matrix.
fn mixed(mut experiment: Experiment) -> Experiment {
    let model = &mut experiment.model;
    let mut near = model.kinds[0].clone();
    if let Mixer::Attention(attention) = &mut near.mixer {
        attention.window = Some(16);
    }
    model.kinds.push(near);
    model.order[1] = 1;
    model.tied = true;
    experiment
}

/// Tokens choose two of four experts.
fn sparse(mut experiment: Experiment) -> Experiment {
    let kind = &mut experiment.model.kinds[0];
    if let Mlp::Dense(dense) = &kind.mlp {
        kind.mlp = Mlp::Experts(Experts {
            experts: 4,
            active: 2,
            always: 0,
            expert: Dense {
                bias: false,
                ..dense.clone()
            },
            capacity: None,
            balance_loss: 0.01,
            router_z_loss: 0.0,
            share: None,
        });
    }
    experiment
}

/// By an engine that runs collectives over replicas beside the computation.
fn beside(mut experiment: Experiment) -> Experiment {
    experiment.plan.engine = "fsdp".to_owned();
    experiment
}

/// A small space, wholly evaluated.
struct Case {
    experiment: Experiment,
    hardware: Hardware,
    all: Vec<(Placement, Bound, Evaluated)>,
}

impl Case {
    fn of(mut experiment: Experiment) -> Self {
        experiment.plan.micro_batch = Choice::OneOf(vec![1, 2]);
        let hardware = hardware::find(&experiment.cluster.device, None).unwrap();
        let (mut prices, mut outlines) = (BTreeMap::new(), Outlines::default());
        let mut evaluated = |placement: Placement| {
            let key = Key::of(&placement);
            let price = prices.entry(key).or_insert_with(|| {
                price(&experiment, &hardware, key, &mut Layouts::default()).unwrap()
            });
            let found = evaluate_cut(&experiment, &hardware, &placement, &price.cut).unwrap();
            (
                placement.clone(),
                price.bound(&experiment, &hardware, &placement, &mut outlines),
                found,
            )
        };
        let all = space::enumerate(&experiment)
            .candidates
            .into_iter()
            .map(&mut evaluated)
            .collect();
        Case {
            experiment,
            hardware,
            all,
        }
    }

    /// Steps of all that fits, rising.
    fn steps(&self) -> Vec<u64> {
        let fitting = self.all.iter().filter(|(_, _, found)| found.fits());
        let mut steps: Vec<u64> = fitting.map(|(_, _, found)| found.simulation.step).collect();
        steps.sort_unstable();
        steps
    }
}

static CASES: LazyLock<[Case; 5]> = LazyLock::new(|| {
    [
        Case::of(experiment("a100_40g", [1, 4], [4, 512, 8, 4])),
        Case::of(mixed(experiment("h100_80g", [2, 1], [3, 1024, 8, 4]))),
        Case::of(experiment("this_machine", [1, 4], [4, 128, 4, 4])),
        Case::of(beside(experiment("a100_40g", [2, 2], [3, 512, 8, 4]))),
        Case::of(sparse(experiment("h100_80g", [1, 4], [2, 512, 8, 4]))),
    ]
});

#[test]
fn the_answer_and_its_alternatives_are_the_optimum_of_the_simulation() {
    for case in CASES.iter() {
        let answer = plan(
            &case.experiment,
            &case.hardware,
            Options { alternatives: 3 },
        )
        .unwrap();
        let found = std::iter::once(&answer.chosen).chain(&answer.alternatives);
        let found: Vec<u64> = found.map(|found| found.simulation.step).collect();
        assert_eq!(
            found,
            case.steps()[..4],
            "{}",
            case.experiment.cluster.device
        );
        assert!(
            answer.simulated < case.all.len() as u64,
            "nothing was pruned"
        );
    }
}

#[test]
fn no_simulation_is_below_its_bound() {
    for case in CASES.iter() {
        for (placement, bound, found) in &case.all {
            assert!(
                bound.step <= found.simulation.step,
                "{placement:?}: {} > {}",
                bound.step,
                found.simulation.step
            );
            assert!(
                bound.peak <= found.peak(),
                "{placement:?}: {} > {}",
                bound.peak,
                found.peak()
            );
        }
    }
}

/// Where stages cannot hold chunks of the same size, those that differ by a layer are tried.
#[test]
fn uneven_chunks_are_tried() {
    let mut experiment = experiment("a100_40g", [1, 2], [7, 512, 8, 4]);
    experiment.plan.pp = Choice::Fixed(2);
    experiment.plan.micro_batch = Choice::Fixed(1);
    let mut counts: Vec<u32> = space::enumerate(&experiment)
        .candidates
        .iter()
        .map(|placement| placement.vpp)
        .collect();
    counts.sort_unstable();
    counts.dedup();
    assert_eq!(counts, [1, 2, 3]);
    let case = Case::of(experiment);
    for (placement, bound, found) in &case.all {
        assert!(bound.step <= found.simulation.step, "{placement:?}");
    }
}

#[test]
fn every_placement_is_counted_once() {
    let Case {
        experiment,
        hardware,
        all,
    } = &CASES[0];
    let answer = plan(experiment, hardware, Options { alternatives: 2 }).unwrap();
    let rejected: u64 = answer.rejected.iter().map(|region| region.count).sum();
    assert_eq!(
        answer.candidates,
        1 + answer.alternatives.len() as u64 + rejected
    );
    assert!(answer.candidates >= all.len() as u64);
}

#[test]
fn more_memory_never_makes_a_run_impossible_or_slower() {
    let (mut experiment, hardware) = (CASES[0].experiment.clone(), &CASES[0].hardware);
    experiment.plan.tp = Choice::OneOf(vec![1, 2]);
    experiment.plan.micro_batch = Choice::Fixed(1);
    let mut last: Option<(bool, u64)> = None;
    for mebibytes in [2400, 2500, 2600, 3200, 40_000] {
        experiment.cluster.memory = Some(mebibytes << 20);
        let answer = plan(&experiment, hardware, Options::default()).unwrap();
        let now = (answer.chosen.fits(), answer.chosen.simulation.step);
        if let Some((true, step)) = last {
            assert!(
                now.0 && now.1 <= step,
                "{mebibytes} MiB: {now:?} after {step}"
            );
        }
        last = Some(now);
    }
    assert!(last.unwrap().0);
}

#[test]
fn a_pin_that_does_not_fit_is_still_evaluated() {
    let (mut experiment, hardware) = (CASES[0].experiment.clone(), &CASES[0].hardware);
    experiment.cluster.memory = Some(1 << 30);
    experiment.plan.tp = Choice::Fixed(1);
    experiment.plan.pp = Choice::Fixed(1);
    experiment.plan.micro_batch = Choice::Fixed(1);
    experiment.plan.recompute = Choice::Fixed("none".into());
    let answer = plan(&experiment, hardware, Options::default()).unwrap();
    assert!(!answer.chosen.fits() && answer.chosen.simulation.step > 0 && answer.feasible == 0);
    assert!(
        answer
            .rejected
            .iter()
            .any(|region| region.why.contains("does not fit")),
        "{:?}",
        answer.rejected
    );
}

#[test]
fn what_cannot_be_says_why() {
    let mut experiment = experiment("a100_40g", [1, 6], [6, 512, 8, 12]);
    experiment.plan.micro_batch = Choice::OneOf(vec![1, 2, 4]);
    experiment.plan.recompute = Choice::Fixed("none".into());
    let hardware = hardware::plain("a100_40g").unwrap();
    let answer = plan(&experiment, &hardware, Options::default()).unwrap();
    let three = answer
        .rejected
        .iter()
        .find(|region| region.what == "tp 3")
        .unwrap();
    assert!(three.why.contains("8 attention heads"), "{}", three.why);
    let why = why_not(&experiment, &hardware, &answer, &[Pin::Tp(3)]);
    assert!(
        why.best.is_none() && why.verdict.contains("8 attention heads"),
        "{}",
        why.verdict
    );
    let why = why_not(&experiment, &hardware, &answer, &[Pin::Pp(2)]);
    assert!(
        why.best.is_some() && why.verdict.contains("slower"),
        "{}",
        why.verdict
    );
    experiment.plan.tp = Choice::Fixed(4);
    let nowhere = plan(&experiment, &hardware, Options::default()).unwrap_err();
    assert!(
        nowhere.to_string().contains("6 ranks do not divide"),
        "{nowhere}"
    );
}

/// A random small experiment: device, ranks, model, batch, and memory of a rank in MiB.
fn random() -> impl Strategy<Value = Experiment> {
    let devices = prop::sample::select(vec!["a100_40g", "v100_32g", "this_machine"]);
    let shape = (1u64..=2, 0u32..=1, 2u64..=5, 1u64..=4, 0u32..=3);
    let words = prop::sample::select(vec!["none", "selective", "full"]);
    (devices, shape, 2500u64..5000, words).prop_map(
        |(device, (nodes, ranks, layers, width, batch), memory, recompute)| {
            let mut experiment = experiment(
                device,
                [nodes, 2 << ranks],
                [layers, 64 * width, 4, 4 << batch],
            );
            experiment.cluster.memory = Some(memory << 20);
            experiment.plan.tp = Choice::OneOf(vec![1, 2]);
            experiment.plan.recompute = Choice::Fixed(recompute.into());
            experiment
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_spaces_give_their_optimum_too(experiment in random()) {
        let case = Case::of(experiment);
        let mut experiment = case.experiment.clone();
        let answer = plan(&experiment, &case.hardware, Options { alternatives: 0 }).unwrap();
        prop_assert_eq!(answer.chosen.fits(), !case.steps().is_empty());
        let all = exhaustive(&experiment, &case.hardware, Options { alternatives: 0 }).unwrap();
        if answer.chosen.fits() {
            prop_assert_eq!(&all.chosen.placement, &answer.chosen.placement);
        }
        prop_assert_eq!((all.simulated, all.candidates), (case.all.len() as u64, answer.candidates));
        if let Some(&best) = case.steps().first() {
            prop_assert_eq!(answer.chosen.simulation.step, best);
        }
        experiment.cluster.memory = experiment.cluster.memory.map(|bytes| bytes + (bytes >> 3));
        let roomy = plan(&experiment, &case.hardware, Options { alternatives: 0 }).unwrap();
        prop_assert!(roomy.chosen.fits() >= answer.chosen.fits());
        if answer.chosen.fits() {
            prop_assert!(roomy.chosen.simulation.step <= answer.chosen.simulation.step);
        }
    }
}

fn two_dollars() -> Price {
    Price {
        usd_per_gpu_hour: 2.0,
        source: "made up".into(),
        date: None,
    }
}

/// The best over several sizes of a cluster is the best of the bests, and the search says which.
#[test]
fn the_size_of_the_cluster_is_one_more_choice() {
    let mut open = experiment("a100_80g", [4, 2], [4, 256, 4, 24]);
    open.cluster.price = Some(two_dollars());
    open.plan.nodes = Choice::OneOf(vec![1, 2, 3, 4]);
    open.plan.micro_batch = Choice::OneOf(vec![1, 2]);
    let hardware = hardware::find(&open.cluster.device, None).unwrap();
    let options = Options { alternatives: 2 };
    let found = plan(&open, &hardware, options).unwrap();
    let alone: Vec<_> = open
        .sizes()
        .into_iter()
        .map(|nodes| plan(&open.on_nodes(nodes), &hardware, options).unwrap())
        .collect();
    let fastest = alone
        .iter()
        .min_by_key(|answer| answer.chosen.simulation.step)
        .unwrap();
    assert_eq!(found.chosen.simulation.step, fastest.chosen.simulation.step);
    assert_eq!(found.chosen.nodes, fastest.chosen.nodes);
    assert_eq!(found.chosen.placement, fastest.chosen.placement);
    let candidates: u64 = alone.iter().map(|answer| answer.candidates).sum();
    assert_eq!(found.candidates, candidates);
    let dearer = why_not(&open, &hardware, &found, &[Pin::Nodes(1)]);
    assert_eq!(dearer.best.unwrap().nodes, 1);
}

/// GPUs that are to stay idle are no ranks, but they are paid for.
#[test]
fn idle_gpus_are_held_and_not_used() {
    let mut some = experiment("a100_80g", [1, 8], [4, 256, 4, 24]);
    some.cluster.price = Some(two_dollars());
    some.plan.micro_batch = Choice::Fixed(1);
    some.plan.gpus = Some(6);
    let hardware = hardware::find(&some.cluster.device, None).unwrap();
    let found = plan(&some, &hardware, Options::default()).unwrap();
    let placement = &found.chosen.placement;
    assert_eq!(placement.tp * placement.pp * placement.dp, 6);
    let cost = found.chosen.scope(&some).cost().unwrap();
    let hours = found.chosen.simulation.step as f64 / 1e12 * 100.0 / 3600.0;
    assert!((cost / (hours * 8.0 * 2.0) - 1.0).abs() < 1e-9);
    some.plan.gpus = Some(9);
    assert!(plan(&some, &hardware, Options::default()).is_err());
}
