//! The flagship: GPT-NeoX-20B as it was trained, from its example file to the screen.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use pleach_dsl::experiment::{Experiment, Mixer};
use pleach_plan::{Evaluation, HeldOut};

use super::model::{model_flops, tokens};
use super::screen::{memory_screen, screen};
use super::{Report, prediction};
use crate::cost::Costs;
use crate::hardware::{self, Hardware};
use crate::search::{Answer, Options, plan, why};
use crate::trace::trace;

const SPEC: &str = include_str!("../../../examples/neox_20b.pleach");

pub(super) struct Flagship {
    pub(super) experiment: Experiment,
    pub(super) hardware: Hardware,
    pub(super) answer: Answer,
}

pub(super) static FLAGSHIP: LazyLock<Flagship> = LazyLock::new(|| {
    let files = BTreeMap::from([("neox_20b.pleach".to_owned(), SPEC.to_owned())]);
    let loaded = pleach_dsl::load("neox_20b.pleach", &files, &[], None);
    let experiment = loaded.experiment.expect("the example is valid");
    let hardware = hardware::find(&experiment.cluster.device, None).unwrap();
    let answer = plan(&experiment, &hardware, Options::default()).unwrap();
    Flagship {
        experiment,
        hardware,
        answer,
    }
});

fn report() -> Report {
    Report::new(
        &FLAGSHIP.experiment,
        &FLAGSHIP.hardware,
        &FLAGSHIP.answer,
        0.0,
    )
}

#[test]
fn the_published_step_lies_in_the_band_and_the_run_fits() {
    let report = report();
    assert_eq!(
        (
            report.placement.tp,
            report.placement.pp,
            report.placement.dp
        ),
        (2, 4, 12)
    );
    assert_eq!(report.model.parameters, 20_554_567_680);
    let time = report.time;
    assert!(
        time.low_s <= 43.9 && time.high_s >= 47.7,
        "{} to {}",
        time.low_s,
        time.high_s
    );
    assert!(report.memory.fits && report.memory.peak_bytes <= 40 << 30);
    let stages: Vec<u32> = report
        .placement
        .stages
        .iter()
        .map(|[first, last]| last - first + 1)
        .collect();
    assert_eq!(stages, [11, 12, 11, 10]);
}

#[test]
fn evaluations_are_told_apart_from_training_and_only_a_run_has_an_end() {
    let mut answer = FLAGSHIP.answer.clone();
    answer.chosen.plan.training.evaluation = Some(Evaluation {
        every: Some(40_000),
        at_end: true,
        batches: 10,
        part: HeldOut::Validation,
    });
    let evaluated = Report::new(&FLAGSHIP.experiment, &FLAGSHIP.hardware, &answer, 0.0);
    let own = evaluated.run.evaluation.unwrap();
    assert_eq!((own.times, own.batches), (4, 10));
    let part = own.seconds / 40.0 / evaluated.time.step_s;
    assert!((0.2..0.4).contains(&part), "{part} of a step");
    let row = "more to evaluate 4 times 10 batches";
    assert!(screen(&evaluated).contains(row), "{}", screen(&evaluated));
    assert_eq!(
        (evaluated.run.seconds, report().run.evaluation),
        (report().run.seconds, None)
    );

    let phases = ["one", "two"].map(|name| (name.to_owned(), evaluated.clone()));
    let whole = Report::of_phases(phases.into()).unwrap();
    let both = whole.run.evaluation.unwrap();
    assert_eq!(whole.phases[0].run.evaluation.unwrap().times, 3);
    assert_eq!(both.times, 7);
    assert!((both.seconds / own.seconds - 7.0 / 4.0).abs() < 1e-9);
}

#[test]
fn figures_follow_from_one_another() {
    let report = report();
    let time = report.time;
    let sum = time.compute_s + time.bubble_s + time.exposed_comm_s + time.optimizer_s;
    assert!((sum / time.step_s - 1.0).abs() < 1e-9);
    // Megatron's formula, as the interface defines model FLOPs.
    let [batch, sequence, layers, hidden, vocab] = [1536.0, 2048.0, 44.0, 6144.0, 50_432.0];
    let shape = 1.0 + sequence / (6.0 * hidden) + vocab / (12.0 * layers * hidden);
    let flops = 72.0 * batch * sequence * layers * hidden * hidden * shape;
    let each = flops / time.step_s / 96.0 / 1e12;
    assert!((report.throughput.model_tflops_per_gpu / each - 1.0).abs() < 1e-9);
    assert!((report.throughput.mfu / (each / 312.0) - 1.0).abs() < 1e-9);
    assert!((report.run.gpu_hours / (time.step_s * 150_000.0 * 96.0 / 3600.0) - 1.0).abs() < 1e-9);
    for stage in &report.memory.per_stage {
        let kinds = stage.parameters + stage.gradients + stage.optimizer + stage.activations;
        assert_eq!(kinds + stage.buffers + stage.overhead, stage.peak);
    }
}

#[test]
fn layers_that_look_near_do_less() {
    let mut experiment = FLAGSHIP.experiment.clone();
    let whole = model_flops(&experiment);
    let mut near = experiment.model.kinds[0].clone();
    if let Mixer::Attention(attention) = &mut near.mixer {
        attention.window = Some(256);
    }
    experiment.model.kinds.push(near);
    experiment.model.order[..22].fill(1);
    let unseen = 22.0 * 4.0 * (2048.0 - 512.0) * 6144.0;
    let less = 3.0 * unseen * tokens(&experiment);
    assert_eq!(whole - model_flops(&experiment), less);
}

#[test]
fn the_screen_is_at_most_eighty_columns_wide() {
    let report = report();
    let text = screen(&report);
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    assert!(
        text.contains("tp 2 x pp 4 x dp 12") && text.contains(&memory_screen(&report)),
        "{text}"
    );
}

#[test]
fn scripts_find_the_fields_they_rely_on() {
    let json = serde_json::to_value(report()).unwrap();
    for path in [
        "schema",
        "experiment/hash",
        "engine",
        "supported",
        "placement/hash",
        "placement/sp",
        "placement/vpp",
        "placement/micro_steps",
        "placement/stages",
        "model/active_parameters",
        "cluster/gpu",
        "time/exposed_comm_s",
        "time/low_s",
        "throughput/tokens_per_s_per_gpu",
        "throughput/hardware_tflops_per_gpu",
        "memory/allocated_bytes",
        "memory/capacity_bytes",
        "memory/per_stage/0/overhead",
        "run/cost_usd",
        "search/feasible",
        "alternatives",
        "rejected",
    ] {
        assert!(json.pointer(&format!("/{path}")).is_some(), "{path}");
    }
}

#[test]
fn eight_tensor_parallel_ranks_are_slower() {
    let Flagship {
        experiment,
        hardware,
        answer,
    } = &*FLAGSHIP;
    let why = why::why_not(experiment, hardware, answer, &[why::Pin::Tp(8)]);
    assert!(why.verdict.starts_with("slower: "), "{}", why.verdict);
    assert!(why.best.unwrap().simulation.step > answer.chosen.simulation.step);
}

#[test]
fn the_trace_ends_with_the_step_and_the_plan_carries_its_prediction() {
    let Flagship {
        experiment,
        hardware,
        answer,
    } = &*FLAGSHIP;
    let chosen = &answer.chosen;
    let trace = trace(&Costs::new(&chosen.plan, hardware, &experiment.cluster)).unwrap();
    let end = trace
        .events
        .iter()
        .map(|event| event.ts + event.dur)
        .fold(0.0, f64::max);
    assert!((end / (chosen.simulation.step as f64 / 1e6) - 1.0).abs() < 1e-9);
    let prediction = prediction(chosen, hardware, experiment);
    assert_eq!(prediction.step_ps, chosen.simulation.step);
    assert_eq!(prediction.roles.len(), 4);
    let lengths = |code: &[pleach_plan::Instr]| code.len();
    let wanted: Vec<usize> = chosen
        .plan
        .bodies
        .iter()
        .map(|body| lengths(&body.code))
        .collect();
    let found: Vec<usize> = prediction.instructions_ps.iter().map(Vec::len).collect();
    assert_eq!(found, wanted);
    let longest = prediction.instructions_ps.iter().flatten().max();
    assert!(longest > Some(&0) && longest < Some(&prediction.step_ps));
}
