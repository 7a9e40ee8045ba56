//! Plans that cannot be: too large for their device, or against a law. Each says the figures and what would help.
//!
//! A suggestion is offered only after the planner has tried it: a help that fails the next check is worse than none.

use pleach_dsl::experiment::Experiment;
use pleach_plan::hardware::Kind;
use pleach_planner::search::why::Pin;
use pleach_planner::search::{self, Evaluated, Options};

use crate::compile::Planned;
use crate::failure::Failure;
use crate::screen::figures::{bytes, count};

/// How many times the nodes a suggestion may go.
const NODES: [u64; 6] = [2, 4, 8, 16, 32, 64];

/// The failure of an answer that must not be run; none where it is fine.
pub fn judge(planned: &Planned) -> Option<Failure> {
    let chosen = &planned.answer.chosen;
    if !chosen.fits() {
        return Some(too_large(planned, chosen));
    }
    (planned.answer.feasible == 0).then(|| lawless(planned))
}

fn too_large(planned: &Planned, chosen: &Evaluated) -> Failure {
    let experiment = &planned.experiment;
    let (name, stage) = (&experiment.name, chosen.fullest());
    let [peak, capacity] = [chosen.peak(), chosen.capacity].map(bytes);
    let device = match planned.hardware.kind {
        Kind::Gpu => "a GPU has",
        Kind::Cpu => "its share of this machine is",
    };
    let (code, message) = if planned.answer.candidates == 1 {
        let stages = chosen.memory.len();
        let text = format!(
            "this placement needs {peak} on stage {stage} of {stages}, {device} {capacity}"
        );
        ("pleach::memory::placement_too_large", text)
    } else {
        let text = format!(
            "{name} does not fit on this cluster in any placement: {peak} at best, {device} {capacity}"
        );
        ("pleach::memory::too_large", text)
    };
    let memory = &chosen.memory[stage];
    let kinds = [
        ("parameters", memory.parameters),
        ("gradients", memory.gradients),
        ("optimizer", memory.optimizer),
        ("activations", memory.activations),
        ("buffers", memory.buffers),
        ("overhead", memory.overhead),
    ];
    let kinds: Vec<String> = kinds
        .iter()
        .map(|(kind, size)| format!("{kind} {}", bytes(*size)))
        .collect();
    let parameters = pleach_planner::report::model::parameters(chosen);
    let size = format!(
        "{} parameters on {} ranks",
        count(parameters),
        experiment.cluster.gpus()
    );
    let failure =
        Failure::wish(code, message).detail(format!("stage {stage}: {}\n{size}", kinds.join(", ")));
    let helps = helps(planned);
    if helps.is_empty() {
        return failure.help("nothing tried here helps: a smaller model, a shorter `context`, or devices with more memory");
    }
    failure.help(helps.join("; or "))
}

/// Single changes after which it fits.
fn helps(planned: &Planned) -> Vec<String> {
    let pins = [
        (Pin::Recompute("full".to_owned()), "`recompute = full`"),
        (Pin::MicroBatch(1), "`micro_batch = 1`"),
        (Pin::Zero(1), "`zero = 1`"),
    ];
    let mut helps = Vec::new();
    for (pin, text) in pins {
        if let Some(peak) = fits(planned, &pin.apply(&planned.experiment)) {
            helps.push(format!("{text} brings it to {}", bytes(peak)));
        }
    }
    if planned.hardware.kind == Kind::Gpu && helps.is_empty() {
        helps.extend(
            NODES
                .iter()
                .find_map(|times| more_nodes(planned, planned.experiment.cluster.nodes * times)),
        );
    }
    helps
}

fn more_nodes(planned: &Planned, nodes: u64) -> Option<String> {
    let mut larger = planned.experiment.clone();
    larger.cluster.nodes = nodes;
    let peak = fits(planned, &larger)?;
    Some(format!(
        "{nodes} nodes fit ({} on the fullest GPU): `cluster.nodes = {nodes}`",
        bytes(peak)
    ))
}

fn fits(planned: &Planned, changed: &Experiment) -> Option<u64> {
    let answer = search::plan(changed, &planned.hardware, Options { alternatives: 0 }).ok()?;
    (answer.chosen.fits() && answer.feasible > 0).then(|| answer.chosen.peak())
}

fn lawless(planned: &Planned) -> Failure {
    let lines: Vec<String> = planned
        .answer
        .rejected
        .iter()
        .map(|region| format!("{}: {} ({})", region.what, region.why, region.count))
        .collect();
    let name = &planned.experiment.name;
    Failure::wish(
        "pleach::plan::law",
        format!("no placement of {name} obeys every `require` of the spec"),
    )
    .detail(lines.join("\n"))
    .help("loosen the law that is named most, or leave more of `plan` open")
}
