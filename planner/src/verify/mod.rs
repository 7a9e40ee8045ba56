//! Verification: whether a program is safe and whether it means what the experiment says.
//!
//! In comes a plan and its experiment, out comes nothing or the faults. Structure is judged by [`pleach_plan::check`]. For meaning,
//! the values of the program and those of the unsharded training graph are numbered ([`number`]) over a step; in the
//! program each value also carries how it is spread over dp and tp, by rules of its own ([`rules`]). Accumulators are multisets
//! of contributions. After the step, weights, moments and report must have the same numbers on every stage, spread as the plan
//! says. Since this holds for any weights and moments to begin with, it holds for every step.

mod declared;
mod explain;
mod fault;
mod finals;
mod held;
mod memory;
mod number;
mod rules;
mod unsharded;
mod walker;

pub use fault::{Fault, What};

use std::collections::BTreeSet;

use pleach_dsl::experiment::Experiment;
use pleach_plan::Plan;
use pleach_plan::check::{Place, check};

use crate::graph::transformer::{self, Loss};
use crate::{phases, rate};

/// The most ends of a step that are listed when their cause is named.
const ENDS: usize = 4;

/// Verifies structure and meaning of a plan for an experiment.
///
/// # Errors
/// What is wrong: the cause first, where it can be named, then what differs after the step.
pub fn verify(plan: &Plan, experiment: &Experiment) -> Result<(), Vec<Fault>> {
    let phases = phases::of(experiment);
    let count = plan.phases().count();
    if count != phases.len() {
        return Err(vec![Fault {
            place: Place::default(),
            what: What::Setting {
                what: "the number of phases",
                found: count.to_string(),
                wanted: phases.len().to_string(),
            },
        }]);
    }
    let mut pairs = plan.phases().zip(&phases);
    pairs.try_for_each(|(plan, experiment)| one(plan, experiment))
}

/// Verifies one phase.
fn one(plan: &Plan, experiment: &Experiment) -> Result<(), Vec<Fault>> {
    let wrap = |fault| Fault {
        place: Place::default(),
        what: What::Structure(Box::new(fault)),
    };
    check(plan).map_err(|faults| faults.into_iter().map(wrap).collect::<Vec<_>>())?;
    let differing = settings(plan, experiment);
    if !differing.is_empty() {
        return Err(differing);
    }
    let expected = unsharded::expected(experiment, plan.training.micro_steps, false);
    let mut ends = finals::differences(plan, &expected);
    if ends.is_empty() {
        return Ok(());
    }
    let detailed = unsharded::expected(experiment, plan.training.micro_steps, true);
    let mut faults = explain::causes(plan, &detailed);
    let more = ends.len().saturating_sub(ENDS);
    ends.truncate(ENDS);
    faults.append(&mut ends);
    if more > 0 {
        faults.push(Fault {
            place: Place::default(),
            what: What::More { count: more },
        });
    }
    Err(faults)
}

/// Figures outside the program that must be the experiment's.
fn settings(plan: &Plan, experiment: &Experiment) -> Vec<Fault> {
    let (training, train) = (&plan.training, &experiment.train);
    let steps = train.part.as_ref().map_or(0, |part| part.steps) + train.steps;
    let schedule = rate::schedule(train);
    let show = |value: &dyn std::fmt::Debug| format!("{value:?}");
    let pairs = [
        (
            "the global batch",
            training.global_batch.to_string(),
            train.global_batch.to_string(),
        ),
        (
            "the sequence",
            training.sequence.to_string(),
            experiment.model.context.to_string(),
        ),
        (
            "the number of steps",
            training.steps.to_string(),
            steps.to_string(),
        ),
        (
            "the kinds of layers",
            show(&plan.kinds),
            show(&transformer::lower(&experiment.model, 1, Loss::plain(1.0)).stored()),
        ),
        ("the schedule", show(&training.schedule), show(&schedule)),
        (
            "the seed",
            training.seed.to_string(),
            experiment.seed.to_string(),
        ),
        (
            "the vocabulary",
            plan.data.vocab.to_string(),
            experiment.model.vocab.to_string(),
        ),
        (
            "the set of parameters",
            parameters(plan),
            wanted_parameters(experiment),
        ),
    ];
    let differing = pairs
        .into_iter()
        .filter(|(_, found, wanted)| found != wanted);
    let fault = |(what, found, wanted)| Fault {
        place: Place::default(),
        what: What::Setting {
            what,
            found,
            wanted,
        },
    };
    differing.map(fault).collect()
}

/// Names, shapes and initial values of a plan's parameters as text to compare.
fn parameters(plan: &Plan) -> String {
    let say = |parameter: &pleach_plan::Parameter| {
        format!(
            "{}{:?} {:?}",
            parameter.name, parameter.dims, parameter.init
        )
    };
    let set: BTreeSet<String> = plan.parameters.iter().map(say).collect();
    set.into_iter().collect::<Vec<_>>().join(", ")
}

/// The same of the experiment's model.
fn wanted_parameters(experiment: &Experiment) -> String {
    let graph = transformer::lower(&experiment.model, 1, Loss::plain(1.0));
    let mut set = BTreeSet::new();
    let layers = [&graph.layer].into_iter().chain(&graph.others);
    let layers = layers.map(|block| (block, "layers.{layer}"));
    let ends = [(&graph.embedding, "embedding"), (&graph.head, "head")];
    for (block, prefix) in layers.chain(ends) {
        for (_, value) in block.parameters() {
            let dims: Vec<u64> = value.dims.iter().map(|dim| dim.size).collect();
            if let crate::graph::Kind::Parameter { init } = value.kind {
                set.insert(format!("{prefix}.{}{dims:?} {init:?}", value.name));
            }
        }
    }
    set.into_iter().collect::<Vec<_>>().join(", ")
}
