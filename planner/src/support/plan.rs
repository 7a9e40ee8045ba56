//! What a placement can be: tensor parallelism, stages with one or several chunks, replicas with ZeRO, and recomputation.

use pleach_dsl::experiment::Experiment;
use pleach_dsl::wish::Choice;

use super::Unsupported;
use crate::engine::{self, Engine, Selective};

/// Everything of `plan` that cannot be planned. A choice is refused unless the one that is planned is all it leaves.
pub fn check(experiment: &Experiment, found: &mut Vec<Unsupported>) {
    let plan = &experiment.plan;
    let word = |choice: &Choice<String>, planned: &str| only(choice, &planned.to_owned());
    let beyond =
        |choice: &Choice<u64>, most: u64| choice.fixed().is_some_and(|value| *value > most);
    let refused = [
        (!only(&plan.cp, &1), "plan.cp", "context parallelism"),
        (!only(&plan.ep, &1), "plan.ep", "expert parallelism"),
        (
            !schedules(&plan.schedule),
            "plan.schedule",
            "another pipeline schedule than `1f1b` and `interleaved`",
        ),
        (beyond(&plan.zero, 3), "plan.zero", "ZeRO beyond stage 3"),
        (
            plan.recompute_budget.is_some() && !chooses(&plan.engine),
            "plan.recompute_budget",
            "a budget of recomputation with an engine that has none",
        ),
        (!word(&plan.offload, "none"), "plan.offload", "offloading"),
        (
            engine::find(&plan.engine).is_none(),
            "plan.engine",
            "this engine",
        ),
    ];
    let refused = refused.into_iter().filter(|(refused, ..)| *refused);
    found.extend(refused.map(|(_, path, what)| Unsupported { path, what }));
}

/// Whether an engine can choose operation by operation what it runs again.
fn chooses(name: &str) -> bool {
    let free = |engine: &Engine| engine.selective != Selective::AttentionCore;
    engine::find(name).is_none_or(free)
}

/// Whether a choice leaves only schedules that are planned.
fn schedules(choice: &Choice<String>) -> bool {
    let planned = |word: &String| ["1f1b", "interleaved"].contains(&word.as_str());
    match choice {
        Choice::Auto | Choice::Formula(_) => true,
        Choice::Fixed(word) => planned(word),
        Choice::OneOf(words) => words.iter().all(planned),
    }
}

/// Whether a choice leaves nothing but one value, or leaves it wholly to the planner.
fn only<T: PartialEq>(choice: &Choice<T>, planned: &T) -> bool {
    match choice {
        Choice::Auto => true,
        Choice::Fixed(value) => value == planned,
        Choice::OneOf(values) => values.iter().all(|value| value == planned),
        Choice::Formula(_) => false,
    }
}
