//! Plans that cannot be: impossible, too large for their device, or against a law. Each says the figures, the places in the
//! spec, and what would help.
//!
//! A suggestion is offered only after the planner has tried it: a help that fails the next check is worse than none.

mod unreachable;

use std::path::Path;

use pleach_dsl::experiment::Experiment;
use pleach_dsl::wish::Choice;
use pleach_plan::Recompute;
use pleach_plan::hardware::Kind;
use pleach_planner::placement::Placement;
use pleach_planner::report::model;
use pleach_planner::search::why::Pin;
use pleach_planner::search::{self, Evaluated, Options, Rejected};

use crate::compile::Planned;
use crate::failure::Failure;
use crate::places::Trouble;
use crate::screen::figures::{bytes, count};

/// Values that say how large the cluster is, the most telling first.
const CLUSTER: [&str; 4] = [
    "cluster.nodes",
    "cluster.gpus",
    "cluster.gpus_per_node",
    "cluster.memory",
];

/// Values that say how large the model is.
const MODEL: [&str; 2] = ["model.hidden", "model.layers"];

/// Values that pin a placement.
const PINS: [&str; 7] = [
    "plan.micro_batch",
    "plan.tp",
    "plan.pp",
    "plan.dp",
    "plan.zero",
    "plan.recompute",
    "plan.sequence_parallel",
];

/// How many times the nodes a suggestion may go.
const NODES: [u64; 6] = [2, 4, 8, 16, 32, 64];

/// Reasons that are shown.
const SHOWN: usize = 12;

/// The failure of an answer that must not be run; none where it is fine. Of several phases the first that is not.
pub fn judge(planned: &Planned) -> Option<Failure> {
    planned.phases().find_map(judge_phase)
}

fn judge_phase(planned: &Planned) -> Option<Failure> {
    let chosen = &planned.answer.chosen;
    if !chosen.fits() {
        return Some(too_large(planned, chosen));
    }
    (planned.answer.feasible == 0).then(|| unreachable::failure(planned))
}

/// In a few words why an answer must not be run; none where it is fine.
pub fn verdict(planned: &Planned) -> Option<String> {
    planned.phases().find_map(verdict_of_phase)
}

fn verdict_of_phase(planned: &Planned) -> Option<String> {
    let chosen = &planned.answer.chosen;
    if !chosen.fits() {
        let [peak, capacity] = [chosen.peak(), chosen.capacity].map(bytes);
        return Some(format!("does not fit, {peak} of {capacity} at best"));
    }
    (planned.answer.feasible == 0)
        .then(|| "no placement obeys every `require` of the spec".to_owned())
}

/// The failure of an experiment that has no placement at all.
pub fn nowhere(spec: &Path, experiment: &Experiment, rejected: &[Rejected]) -> Failure {
    let (name, gpus) = (&experiment.name, experiment.ranks());
    let mut trouble = Trouble::new(spec);
    trouble.label(spec, experiment, &CLUSTER, format!("{gpus} ranks"));
    for pin in PINS {
        trouble.label(spec, experiment, &[pin], "pinned here");
    }
    let title = format!("{name} has no placement on {gpus} ranks");
    let help = "leave more of `plan` open (`auto`), or change the number of ranks in `cluster`";
    Failure::problems(vec![trouble.problem(
        "pleach::plan::nowhere",
        title,
        &reasons(rejected),
        help.to_owned(),
    )])
}

fn reasons(rejected: &[Rejected]) -> String {
    let line = |region: &Rejected| format!("{}: {} ({})", region.what, region.why, region.count);
    let mut lines: Vec<String> = rejected.iter().take(SHOWN).map(line).collect();
    let more = rejected.len().saturating_sub(SHOWN);
    lines.extend((more > 0).then(|| format!("and {more} more reasons")));
    lines.join("\n")
}

fn too_large(planned: &Planned, chosen: &Evaluated) -> Failure {
    let experiment = &planned.settled();
    let (name, stage) = (&experiment.name, chosen.fullest());
    let [peak, capacity] = [chosen.peak(), chosen.capacity].map(bytes);
    let device = match planned.hardware.kind {
        Kind::Gpu => "a GPU has",
        Kind::Cpu => "its share of this machine is",
    };
    let (code, title) = if planned.answer.candidates == 1 {
        let text = format!(
            "this placement needs {peak} on stage {stage} of {}, {device} {capacity}",
            chosen.memory.len()
        );
        ("pleach::memory::placement_too_large", text)
    } else {
        let text = format!(
            "{name} does not fit on this cluster in any placement: {peak} at best, {device} {capacity}"
        );
        ("pleach::memory::too_large", text)
    };
    let mut trouble = Trouble::new(&planned.spec);
    let cluster = format!("{} x {capacity}", experiment.cluster.gpus());
    trouble.label(&planned.spec, experiment, &CLUSTER, cluster);
    let parameters = format!("{} parameters", count(model::parameters(chosen)));
    trouble.label(&planned.spec, experiment, &MODEL, parameters);
    let mut helps = helps(planned);
    if helps.is_empty() {
        helps.push(
            "nothing tried here is enough: a smaller model, a shorter `context`, or larger devices"
                .to_owned(),
        );
    }
    Failure::problems(vec![trouble.problem(
        code,
        title,
        &kinds(chosen),
        helps.join("; or "),
    )])
}

/// Memory of the fullest stage, kind by kind.
fn kinds(chosen: &Evaluated) -> String {
    let memory = &chosen.memory[chosen.fullest()];
    let kinds = [
        ("parameters", memory.parameters),
        ("gradients", memory.gradients),
        ("optimizer", memory.optimizer),
        ("activations", memory.activations),
        ("buffers", memory.buffers),
        ("overhead", memory.overhead),
    ];
    kinds
        .map(|(kind, size)| format!("{kind:<12}{:>10}", bytes(size)))
        .join("\n")
}

/// Single changes after which it fits, each tried on the placement that came nearest, so that a help costs milliseconds.
fn helps(planned: &Planned) -> Vec<String> {
    let nearest = &planned.answer.chosen.placement;
    let settled = planned.settled();
    let changes = [
        (
            Placement {
                recompute: Recompute::Selective,
                ..nearest.clone()
            },
            "`recompute = selective`",
        ),
        (
            Placement {
                recompute: Recompute::Full,
                ..nearest.clone()
            },
            "`recompute = full`",
        ),
        (
            Placement {
                micro_batch: 1,
                ..nearest.clone()
            },
            "`micro_batch = 1`",
        ),
        (
            Placement {
                zero: 1,
                ..nearest.clone()
            },
            "`zero = 1`",
        ),
    ];
    let mut helps: Vec<String> = changes
        .into_iter()
        .filter(|(changed, _)| changed != nearest)
        .filter_map(|(changed, text)| {
            let peak = fits(planned, &settled, &changed)?;
            Some(format!("{text} brings it to {}", bytes(peak)))
        })
        .collect();
    if planned.hardware.kind == Kind::Gpu && helps.is_empty() {
        helps.extend(NODES.iter().find_map(|&times| more_nodes(planned, times)));
    }
    helps
}

/// The nearest placement on more nodes: more replicas, or more stages where the spec leaves them open.
fn more_nodes(planned: &Planned, times: u64) -> Option<String> {
    let larger = planned
        .experiment
        .on_nodes(planned.answer.chosen.nodes * times);
    let nearest = &planned.answer.chosen.placement;
    let open = !matches!(larger.plan.pp, Choice::Fixed(_));
    let stages = [
        Some(nearest.pp),
        u32::try_from(times)
            .ok()
            .filter(|_| open)
            .map(|times| nearest.pp * times),
    ];
    let peak = stages.into_iter().flatten().find_map(|pp| {
        fits(
            planned,
            &larger,
            &Placement {
                pp,
                ..nearest.clone()
            },
        )
    })?;
    let nodes = larger.cluster.nodes;
    Some(format!(
        "{nodes} nodes fit ({} on the fullest GPU): `cluster.nodes = {nodes}`",
        bytes(peak)
    ))
}

/// The peak of one placement, replicas as the cluster gives them, where it fits and obeys the laws.
fn fits(planned: &Planned, experiment: &Experiment, placement: &Placement) -> Option<u64> {
    let recompute = match placement.recompute {
        Recompute::None => "none",
        Recompute::Selective => "selective",
        Recompute::Full => "full",
    };
    let pins = [
        Pin::Tp(placement.tp.into()),
        Pin::Pp(placement.pp.into()),
        Pin::Zero(placement.zero.into()),
        Pin::Shards(placement.shards.into()),
        Pin::MicroBatch(placement.micro_batch),
        Pin::Recompute(recompute.to_owned()),
        Pin::SequenceParallel(placement.sequence_parallel),
    ];
    let pinned = pins
        .iter()
        .fold(experiment.clone(), |experiment, pin| pin.apply(&experiment));
    let answer = search::plan(&pinned, &planned.hardware, Options { alternatives: 0 }).ok()?;
    (answer.chosen.fits() && answer.feasible > 0).then(|| answer.chosen.peak())
}
