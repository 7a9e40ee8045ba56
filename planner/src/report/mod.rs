//! What `pleach plan` says: a search's answer in, one object for scripts and one screen for people out.
//!
//! The fields, names and units of [`Report`] are the interface of `pleach plan --json`; [`screen`] prints the same data.

pub mod differs;
pub mod html;
pub mod model;
pub mod parts;
pub mod screen;
#[cfg(test)]
mod tests;
pub mod why;

use pleach_dsl::experiment::Experiment;
use pleach_plan::hardware::Hardware;
use pleach_plan::{Instr, Prediction, RolePrediction};
use serde::Serialize;

use crate::cost::Costs;
use crate::engine;
use crate::hardware::bands;
use crate::search::{Answer, Evaluated, Rejected};
use crate::simulate;
use crate::support;
use parts::{Memory, Placed, Run, Throughput, Time};

/// The version of this object.
pub const SCHEMA: u32 = 1;

/// The object that `pleach plan --json` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Which experiment.
    pub experiment: Named,
    /// Whose lowering.
    pub engine: String,
    /// What the placement is good for here: `run`, `export` or `plan`.
    pub supported: String,
    /// The chosen placement.
    pub placement: Placed,
    /// The model's size.
    pub model: Model,
    /// The machines.
    pub cluster: Machines,
    /// The step.
    pub time: Time,
    /// Rates.
    pub throughput: Throughput,
    /// Memory of the fullest rank, and of each stage.
    pub memory: Memory,
    /// The whole run, all its phases together.
    pub run: Run,
    /// The phases of a run that has several; what is said above of placement, time and memory is of the first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<Phase>,
    /// How the answer was found.
    pub search: Searched,
    /// The next best.
    pub alternatives: Vec<Alternative>,
    /// What was left out.
    pub rejected: Vec<Rejected>,
    /// What was measured of this experiment, and what was multiplied by it.
    pub observed: Vec<String>,
    /// What the figures rest on.
    pub assumptions: Vec<String>,
}

/// An experiment's name and identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its hash.
    pub hash: String,
}

/// The model's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Model {
    /// All parameters.
    pub parameters: u64,
    /// Those that a token passes.
    pub active_parameters: u64,
}

/// The machines.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Machines {
    /// All GPUs.
    pub gpus: u64,
    /// Those of them that stay idle.
    pub idle: u64,
    /// Nodes.
    pub nodes: u64,
    /// The numbers of nodes that they were chosen among.
    pub nodes_among: Vec<u64>,
    /// What one of them is.
    pub gpu: String,
    /// What one of them costs, where it is known.
    pub price: Option<Price>,
}

/// A phase of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// Its placement.
    pub placement: Placed,
    /// Its step.
    pub time: Time,
    /// Its memory.
    pub memory: Memory,
    /// All its steps.
    pub run: Run,
}

/// A price with its source.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Price {
    /// US dollars for a GPU and hour.
    pub usd_per_gpu_hour: f64,
    /// Who says so.
    pub source: String,
    /// When.
    pub date: Option<String>,
}

/// How the answer was found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Searched {
    /// Placements on this cluster.
    pub candidates: u64,
    /// Those that were found to fit.
    pub feasible: u64,
    /// Those that were given their bounds.
    pub priced: u64,
    /// Those that were simulated.
    pub simulated: u64,
    /// Wall time, which the caller measures.
    pub seconds: f64,
}

/// A placement that came near.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alternative {
    /// Nodes of the cluster.
    pub nodes: u64,
    /// The placement.
    pub placement: Placed,
    /// Its step.
    pub time: Time,
    /// Its memory.
    pub memory: Memory,
    /// What speaks against it.
    pub why: String,
}

impl Report {
    /// Makes the report of an answer; `seconds` is how long the search took.
    pub fn new(
        experiment: &Experiment,
        hardware: &Hardware,
        answer: &Answer,
        seconds: f64,
    ) -> Self {
        let chosen = &answer.chosen;
        let settled = experiment.on_nodes(chosen.nodes);
        let bands = bands::of(hardware, &chosen.plan.engine);
        let costs = Costs::new(&chosen.plan, hardware, &settled.cluster);
        let measuring = simulate::measuring(&costs).ok();
        let parameters = model::parameters(chosen);
        let engine = engine::find(&chosen.plan.engine);
        let supported = match engine.map_or("plan", |engine| engine.supported) {
            "run" if !support::is_run(experiment, hardware) => "plan",
            supported => supported,
        };
        Report {
            schema: SCHEMA,
            experiment: Named {
                name: experiment.name.clone(),
                hash: experiment.hash.clone(),
            },
            engine: chosen.plan.engine.clone(),
            supported: supported.to_owned(),
            placement: Placed::of(chosen),
            model: Model {
                parameters,
                active_parameters: parameters,
            },
            cluster: Machines {
                gpus: settled.cluster.gpus(),
                idle: settled.cluster.gpus().saturating_sub(settled.ranks()),
                nodes: chosen.nodes,
                nodes_among: experiment.sizes(),
                gpu: experiment.cluster.device.clone(),
                price: experiment.cluster.price.as_ref().map(|price| Price {
                    usd_per_gpu_hour: price.usd_per_gpu_hour,
                    source: price.source.clone(),
                    date: price.date.clone(),
                }),
            },
            time: Time::of(chosen, &bands.step),
            throughput: Throughput::of(&settled, hardware, chosen),
            memory: Memory::of(chosen, &bands.memory),
            run: Run::of(&settled, chosen, measuring),
            phases: Vec::new(),
            search: Searched {
                candidates: answer.candidates,
                feasible: answer.feasible,
                priced: answer.priced,
                simulated: answer.simulated,
                seconds,
            },
            alternatives: answer
                .alternatives
                .iter()
                .map(|other| alternative(chosen, other, &bands))
                .collect(),
            rejected: answer.rejected.clone(),
            observed: hardware
                .observed
                .as_ref()
                .map_or_else(Vec::new, |observed| observed.about.clone()),
            assumptions: assumptions(hardware, &chosen.plan.engine, &bands),
        }
    }
}

impl Report {
    /// The report of a run of phases from theirs, in order, with their names.
    pub fn of_phases(phases: Vec<(String, Report)>) -> Option<Self> {
        let last = phases.len().saturating_sub(1);
        let phase = |(index, (name, report)): (usize, &(String, Report))| Phase {
            name: name.clone(),
            placement: report.placement.clone(),
            time: report.time,
            memory: report.memory.clone(),
            run: match index == last {
                true => report.run,
                false => report.run.going_on(),
            },
        };
        let all: Vec<Phase> = phases.iter().enumerate().map(phase).collect();
        let runs: Vec<Run> = all.iter().map(|phase| phase.run).collect();
        let (_, mut whole) = phases.into_iter().next()?;
        whole.run = Run::sum(&runs);
        whole.phases = all;
        Some(whole)
    }
}

fn alternative(chosen: &Evaluated, other: &Evaluated, bands: &bands::Bands) -> Alternative {
    let percent = |own: u64, theirs: u64| (theirs as f64 / own.max(1) as f64 - 1.0) * 100.0;
    let step = percent(chosen.simulation.step, other.simulation.step);
    let peak = percent(chosen.peak(), other.peak());
    let why = format!("{step:+.1} % time, {peak:+.1} % memory");
    Alternative {
        nodes: other.nodes,
        placement: Placed::of(other),
        time: Time::of(other, &bands.step),
        memory: Memory::of(other, &bands.memory),
        why,
    }
}

/// What the figures rest on, in sentences.
pub fn assumptions(hardware: &Hardware, engine: &str, bands: &bands::Bands) -> Vec<String> {
    let mut lines = vec![format!("{}: {}", hardware.name, hardware.about)];
    let facts = engine::find(engine).map_or(&[][..], |engine| engine.facts);
    lines.extend(facts.iter().map(|fact| format!("engine {engine}: {fact}")));
    let observed = hardware
        .observed
        .iter()
        .flat_map(|observed| &observed.about);
    lines.extend(observed.map(|about| format!("observed: {about}")));
    let (runs, median) = (bands.step.runs, bands.step.median);
    let middle = if runs > 0 {
        format!(" (median {median:.2} of {runs} runs)")
    } else {
        String::new()
    };
    lines.push(format!("band of the step: {}{middle}", bands.step.source));
    lines.push(format!("band of the memory: {}", bands.memory.source));
    lines.push("model FLOPs: matrix products once forward and twice backward, full attention, head, no recompute".to_owned());
    lines
}

/// What a plan carries of its own prediction.
pub fn prediction(
    evaluated: &Evaluated,
    hardware: &Hardware,
    experiment: &Experiment,
) -> Prediction {
    let bands = bands::of(hardware, &evaluated.plan.engine);
    let role = |stage: &crate::memory::StageMemory| RolePrediction {
        named_peak: stage.named,
        allocated_peak: stage.allocated,
        overhead: stage.overhead,
    };
    Prediction {
        step_ps: evaluated.simulation.step,
        band_ps: bands.step.around(evaluated.simulation.step),
        roles: evaluated.memory.iter().map(role).collect(),
        instructions_ps: instructions(&Costs::new(&evaluated.plan, hardware, &experiment.cluster)),
        device: hardware.kind,
        useful: parts::useful(experiment, hardware, evaluated.plan.mesh.ranks()),
        assumptions: assumptions(hardware, &evaluated.plan.engine, &bands),
    }
}

/// The time of every instruction of every body, alone on its rank.
fn instructions(costs: &Costs<'_>) -> Vec<Vec<u64>> {
    let factor = costs.hardware().time_factor();
    let scaled = |ps: u64| libm::round(ps as f64 * factor) as u64;
    let bodies = costs.plan().bodies.iter();
    let times = |code: &[Instr]| {
        code.iter()
            .map(|instr| scaled(costs.instr(instr).ps))
            .collect()
    };
    bodies.map(|body| times(&body.code)).collect()
}
