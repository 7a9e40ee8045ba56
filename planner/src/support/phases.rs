//! What a run of several phases can be asked: each is planned by itself on the same machines, so nothing may be said of all of them together.

use pleach_dsl::experiment::{Experiment, Order};
use pleach_dsl::wish::Choice;

use super::Unsupported;

/// Figures of a whole run: a law over them would be held against each phase alone.
const OF_THE_RUN: [&str; 2] = ["time", "cost"];

/// Everything of a curriculum that cannot be planned.
pub fn check(experiment: &Experiment, found: &mut Vec<Unsupported>) {
    let phases = &experiment.train.phases;
    let Some(first) = phases.first() else {
        return;
    };
    let plan = &experiment.plan;
    let names = |path: &String| OF_THE_RUN.contains(&path.trim_start_matches("plan."));
    let laws = &plan.requirements;
    let refused = [
        (
            phases
                .iter()
                .any(|it| it.data.tokenizer != first.data.tokenizer),
            "train.phases",
            "a phase with another tokenizer",
        ),
        (
            phases.len() > 1 && phases.iter().any(|it| it.data.order == Order::GptNeox),
            "data.order",
            "the order `gpt_neox`, whose indices are made for one run, in a run of phases",
        ),
        (
            !matches!(plan.nodes, Choice::Auto | Choice::Fixed(_)),
            "plan.nodes",
            "an open number of nodes for phases that are planned one by one",
        ),
        (
            laws.iter().any(|law| law.names().iter().any(names)),
            "plan",
            "a law over the time or cost of a run of phases",
        ),
    ];
    let refused = refused.into_iter().filter(|(refused, ..)| *refused);
    found.extend(refused.map(|(_, path, what)| Unsupported { path, what }));
}
