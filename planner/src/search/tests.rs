//! The search against brute force, and what must hold of its bounds.

use std::collections::BTreeMap;

use pleach_dsl::experiment::{
    AdamW, Checkpoints, Cluster, Dataset, Experiment, Init, LearningRate, Mlp, Model, Norm, Positions, Precision, Residual, Train, Wishes,
};
use pleach_dsl::wish::Choice;
use pleach_plan::hardware::Hardware;

use super::bound::{Key, price};
use super::evaluate::evaluate;
use super::why::why_not;
use super::{Options, plan, space};
use crate::hardware;

fn experiment(device: &str, [nodes, gpus_per_node]: [u64; 2], [layers, hidden, heads, batch]: [u64; 4]) -> Experiment {
    Experiment {
        name: "small".into(),
        seed: 0,
        model: Model {
            layers,
            hidden,
            heads,
            head_dim: hidden / heads,
            context: 256,
            vocab: 256,
            positions: Positions::Rotary { fraction: 0.25, base: 1e4 },
            residual: Residual::ParallelSeparate,
            norm: Norm::LayerNorm { eps: 1e-5 },
            mlp: Mlp::Gelu { width: 4 * hidden },
            tied: false,
            init: Init { weights: 0.02, output: 0.01 },
        },
        data: Dataset { name: "none".into(), source: String::new(), tokenizer: "bytes".into(), mix: Vec::new() },
        train: Train {
            steps: 100,
            global_batch: batch,
            optimizer: AdamW { betas: [0.9, 0.95], eps: 1e-8, weight_decay: 0.1 },
            lr: LearningRate::Constant { peak: 1e-3, warmup: 10 },
            clip: Some(1.0),
            precision: if device == "this_machine" { Precision::Fp32 } else { Precision::Bf16 },
        },
        checkpoints: Checkpoints { every: None, keep: 1 },
        cluster: Cluster {
            name: device.into(),
            nodes,
            gpus_per_node,
            device: device.into(),
            memory: None,
            peak_flops: None,
            intra_node: None,
            inter_node: None,
            price_per_gpu_hour: Some(2.0),
        },
        plan: Wishes {
            tp: Choice::Auto,
            pp: Choice::Auto,
            dp: Choice::Auto,
            zero: Choice::Auto,
            micro_batch: Choice::Auto,
            recompute: Choice::Auto,
            sequence_parallel: Choice::Auto,
            requirements: Vec::new(),
            objectives: Vec::new(),
            engine: "pleach".into(),
        },
        hash: String::new(),
        origins: BTreeMap::new(),
    }
}

fn cases() -> Vec<(Experiment, Hardware)> {
    let cases = [
        experiment("a100_40g", [1, 4], [4, 512, 8, 8]),
        experiment("h100_80g", [2, 2], [6, 1024, 8, 4]),
        experiment("v100_32g", [1, 2], [3, 256, 4, 4]),
        experiment("this_machine", [1, 4], [4, 128, 4, 4]),
    ];
    cases.map(|experiment| (experiment.clone(), hardware::find(&experiment.cluster.device, None).unwrap())).into()
}

#[test]
fn the_answer_is_the_optimum_of_the_simulation() {
    for (experiment, hardware) in cases() {
        let space = space::enumerate(&experiment);
        let all = space.candidates.iter().filter_map(|placement| evaluate(&experiment, &hardware, placement).ok());
        let best = all.filter(super::Evaluated::fits).map(|found| found.simulation.step).min().unwrap();
        let answer = plan(&experiment, &hardware, Options::default()).unwrap();
        assert_eq!(answer.chosen.simulation.step, best, "{}", experiment.cluster.device);
        assert!(answer.alternatives.iter().all(|other| other.simulation.step >= best));
    }
}

#[test]
fn alternatives_are_the_next_best() {
    let (experiment, hardware) = cases().remove(0);
    let space = space::enumerate(&experiment);
    let mut steps: Vec<u64> = space
        .candidates
        .iter()
        .filter_map(|placement| evaluate(&experiment, &hardware, placement).ok())
        .filter(super::Evaluated::fits)
        .map(|found| found.simulation.step)
        .collect();
    steps.sort_unstable();
    let answer = plan(&experiment, &hardware, Options { alternatives: 3 }).unwrap();
    let found: Vec<u64> = answer.alternatives.iter().map(|other| other.simulation.step).collect();
    assert_eq!(found, steps[1..4]);
}

#[test]
fn no_simulation_is_below_its_bound() {
    for (experiment, hardware) in cases() {
        for placement in &space::enumerate(&experiment).candidates {
            let bound = price(&experiment, &hardware, Key::of(placement)).unwrap().bound(&experiment, placement);
            let found = evaluate(&experiment, &hardware, placement).unwrap();
            assert!(bound.step <= found.simulation.step, "{placement:?}: {} > {}", bound.step, found.simulation.step);
            assert!(bound.peak <= found.peak(), "{placement:?}: {} > {}", bound.peak, found.peak());
        }
    }
}

#[test]
fn every_placement_is_counted_once() {
    let (experiment, hardware) = cases().remove(0);
    let answer = plan(&experiment, &hardware, Options { alternatives: 2 }).unwrap();
    let rejected: u64 = answer.rejected.iter().map(|region| region.count).sum();
    assert_eq!(answer.candidates, 1 + answer.alternatives.len() as u64 + rejected);
}

#[test]
fn more_memory_never_makes_a_run_impossible_or_slower() {
    let (mut experiment, hardware) = cases().remove(0);
    let mut last: Option<(bool, u64)> = None;
    for mebibytes in [2400, 2500, 2600, 2800, 3200, 8000, 40_000] {
        experiment.cluster.memory = Some(mebibytes << 20);
        let answer = plan(&experiment, &hardware, Options::default()).unwrap();
        let now = (answer.chosen.fits(), answer.chosen.simulation.step);
        if let Some((true, step)) = last {
            assert!(now.0 && now.1 <= step, "{mebibytes} MiB: {now:?} after {step}");
        }
        last = Some(now);
    }
    assert!(last.unwrap().0);
}

#[test]
fn a_pin_that_does_not_fit_is_still_evaluated() {
    let (mut experiment, hardware) = cases().remove(0);
    experiment.cluster.memory = Some(1 << 30);
    experiment.plan.tp = Choice::Fixed(1);
    experiment.plan.pp = Choice::Fixed(1);
    experiment.plan.micro_batch = Choice::Fixed(1);
    experiment.plan.recompute = Choice::Fixed("none".into());
    let answer = plan(&experiment, &hardware, Options::default()).unwrap();
    assert!(!answer.chosen.fits() && answer.chosen.simulation.step > 0 && answer.feasible == 0);
    assert!(answer.rejected.iter().any(|region| region.why.contains("does not fit")), "{:?}", answer.rejected);
}

#[test]
fn what_cannot_be_says_why() {
    let mut experiment = experiment("a100_40g", [1, 6], [6, 512, 8, 12]);
    let hardware = hardware::find("a100_40g", None).unwrap();
    let answer = plan(&experiment, &hardware, Options::default()).unwrap();
    let three = answer.rejected.iter().find(|region| region.what == "tp 3").unwrap();
    assert!(three.why.contains("8 attention heads"), "{}", three.why);
    let why = why_not(&experiment, &hardware, &answer, "tp = 3").unwrap();
    assert!(why.best.is_none() && why.verdict.contains("8 attention heads"), "{}", why.verdict);
    let why = why_not(&experiment, &hardware, &answer, "micro_batch = 4").unwrap();
    assert!(why.best.is_some() && why.verdict.contains("slower"), "{}", why.verdict);
    assert!(why_not(&experiment, &hardware, &answer, "speed = high").is_err());
    experiment.plan.tp = Choice::Fixed(4);
    let nowhere = plan(&experiment, &hardware, Options::default()).unwrap_err();
    assert!(nowhere.to_string().contains("6 ranks do not divide"), "{nowhere}");
}
