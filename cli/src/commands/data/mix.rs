//! `pleach data mix SPEC`: what a run really consumes of each component, against what was asked.
//!
//! The data is prepared where it is not yet, so every count is real; nothing is planned and no machine is needed. Steps are those of the run,
//! whichever phases they lie in.

use std::collections::BTreeSet;

use pleach_data::order::{Draw, Phases};
use pleach_dsl::experiment::Experiment;
use pleach_plan::DataPlan;
use pleach_planner::{phases, program, support};
use serde_json::{Value, json};

use crate::arguments::Global;
use crate::arguments::data::MixArguments;
use crate::consumed::{self, Given, Stretch};
use crate::data::{of_phases, order_failure};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::screen::Screen;
use crate::{compile, lock, planfile};

/// Shows the mix of a spec's run.
pub fn mix(screen: &Screen, global: &Global, arguments: &MixArguments) -> Outcome<Exit> {
    let experiment = compile::experiment(screen, global, &arguments.file)?;
    let phases = phases::of(&experiment);
    let plans: Vec<DataPlan> = phases.iter().map(program::data).collect();
    readable(&experiment, &plans)?;
    let named: Vec<&DataPlan> = plans.iter().collect();
    let prepared = of_phases(screen, &named, lock::folder(&arguments.file))?;
    let failed = |error| order_failure(&error);
    let draws = phases
        .iter()
        .zip(&plans)
        .map(|(phase, plan)| (plan, draw(phase, plan)));
    let orders = Phases::of(draws, &prepared).map_err(failed)?;
    let hash = orders.hash().map_err(failed)?;
    let pairs = phases.iter().zip(&plans);
    let stretches: Vec<Stretch<'_>> = pairs.map(|(phase, plan)| stretch(phase, plan)).collect();
    let last = stretches.last().map_or(0, |stretch| stretch.steps.end);
    let asked = arguments.steps.clone().unwrap_or(0..last);
    let steps = asked.start.min(last)..asked.end.min(last);
    let all = consumed::given(&stretches, &orders, &steps);
    consumed::warn(screen, &all);
    if screen.json {
        let components: Vec<Value> = all.iter().flat_map(Given::json).collect();
        screen.data_json(
            &json!({"steps": [steps.start, steps.end], "order": hash, "components": components}),
        );
        return Ok(Exit::Fine);
    }
    let tables: String = all.iter().map(|given| given.screen() + "\n\n").collect();
    screen.data(&format!("{tables}data order {hash}"));
    Ok(Exit::Fine)
}

/// Refuses data that no run would read as the spec says: of it there is no order to show.
fn readable(experiment: &Experiment, plans: &[DataPlan]) -> Outcome<()> {
    let beyond = support::check(experiment).into_iter();
    let beyond = beyond.filter(|found| found.path.starts_with("data."));
    let beyond = beyond.map(|found| format!("`{}`: {}", found.path, found.what));
    let unread = plans.iter().flat_map(|plan| plan.unread.clone());
    let all: BTreeSet<String> = beyond.chain(unread).collect();
    match all.is_empty() {
        true => Ok(()),
        false => Err(planfile::unread(&all.into_iter().collect::<Vec<_>>())),
    }
}

fn draw(phase: &Experiment, plan: &DataPlan) -> Draw {
    Draw {
        ordering: plan.ordering,
        seed: plan.order_seed.unwrap_or(phase.seed),
        sequence: phase.model.context,
        total: phase.train.steps * phase.train.global_batch,
    }
}

fn stretch<'p>(phase: &'p Experiment, plan: &'p DataPlan) -> Stretch<'p> {
    let part = phase.train.part.as_ref();
    let begins = part.map_or(0, |part| part.steps);
    Stretch {
        phase: part.map(|part| part.name.as_str()),
        data: plan,
        steps: begins..begins + phase.train.steps,
        batch: phase.train.global_batch,
        sequence: phase.model.context,
    }
}
