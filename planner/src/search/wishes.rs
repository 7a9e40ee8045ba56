//! Objectives: which of two placements is better.
//!
//! Earlier goals count more; `within` says how far from the best still counts as best, so that the next goal decides there.
//! Without any goal the step time counts.

use pleach_dsl::experiment::Experiment;
use pleach_dsl::wish::{Direction, Objective};

use super::Answer;
use super::bound::{Bound, ROUNDED};
use super::evaluate::Evaluated;
use super::figures::Scoped;
use crate::cost::PICO;

/// The goals of an experiment.
pub struct Wish<'e> {
    objectives: &'e [Objective],
    bounded: bool,
}

impl<'e> Wish<'e> {
    /// Reads the goals.
    pub fn of(experiment: &'e Experiment) -> Self {
        let objectives = &experiment.plan.objectives[..];
        let rising = |objective: &Objective| {
            let known = ["step_time", "time", "cost", "memory.peak"];
            objective.direction == Direction::Minimize && known.contains(&objective.metric.as_str())
        };
        Wish {
            objectives,
            bounded: objectives.first().is_none_or(rising),
        }
    }

    /// The first goal's value, smaller is better; what has no value is worst.
    pub fn first(&self, scope: &Scoped<'_>) -> f64 {
        match self.objectives.first() {
            Some(objective) => value(objective, scope),
            None => scope.step_seconds().unwrap_or(f64::INFINITY),
        }
    }

    /// A lower bound of the first goal's value, from bounds of step and memory; minus infinity where the goal does not rise with
    /// them. What the language computes exactly is computed here in doubles, and so stays a little below.
    pub fn least(&self, experiment: &Experiment, bound: &Bound) -> f64 {
        if !self.bounded {
            return f64::NEG_INFINITY;
        }
        let seconds = bound.step as f64 / PICO;
        let run = seconds * experiment.train.steps as f64;
        let metric = self.objectives.first().map(|goal| goal.metric.as_str());
        let value = match metric {
            Some("time") => run,
            Some("cost") => {
                let price = experiment.cluster.price.as_ref();
                let hourly = price.map_or(f64::INFINITY, |price| price.usd_per_gpu_hour);
                run / 3600.0 * experiment.cluster.gpus() as f64 * hourly
            }
            Some("memory.peak") => bound.peak as f64,
            _ => seconds,
        };
        value * ROUNDED
    }

    /// Why a placement stands behind the best: by the first goal, its value and the best one, or by the time of a step.
    pub fn behind(&self, least: &str, values: [f64; 2], steps: [u64; 2]) -> String {
        behind(self.objectives.first(), least, values, steps)
    }

    /// Why the best placement of another search is not the chosen one of an answer: the first goal in which it stands behind, or
    /// that it is ahead and the spec does not leave it open.
    pub fn against(&self, experiment: &Experiment, answer: &Answer, other: &Evaluated) -> String {
        let found = std::iter::once(&answer.chosen).chain(&answer.alternatives);
        let bests = self.bests(experiment, found);
        self.loses(experiment, &answer.chosen, &bests, other)
    }

    /// The best value of each goal among some placements, and of the shortest step.
    pub fn bests<'f>(
        &self,
        experiment: &Experiment,
        found: impl Iterator<Item = &'f Evaluated>,
    ) -> Vec<f64> {
        let goals = || self.objectives.iter().map(Some).chain([None]);
        let mut bests = vec![f64::INFINITY; goals().count()];
        for one in found {
            let scope = one.scope(experiment);
            for (best, goal) in bests.iter_mut().zip(goals()) {
                *best = best.min(worth(goal, &scope));
            }
        }
        bests
    }

    /// The same where the best values are known.
    pub fn loses(
        &self,
        experiment: &Experiment,
        chosen: &Evaluated,
        bests: &[f64],
        other: &Evaluated,
    ) -> String {
        let steps = [other, chosen].map(|one| one.simulation.step);
        let implied = [None];
        let goals = self.objectives.iter().map(Some);
        let goals: Vec<Option<&Objective>> = goals.chain(implied).collect();
        for (goal, &best) in goals.into_iter().zip(bests) {
            let of = |one: &Evaluated| worth(goal, &one.scope(experiment));
            let values = [of(other), of(chosen)];
            let within = goal.and_then(|goal| goal.within);
            if values[0] > slack(within, best).max(values[1]) {
                return behind(goal, "", values, steps);
            }
            if values[0] < values[1] && within.is_none() {
                let told = ahead(goal, values, steps);
                return format!("{told}, but the spec does not leave it open");
            }
        }
        "as good by every goal; of equals the first in order is taken".to_owned()
    }

    /// What still counts as best for the first goal.
    pub fn slack(&self, best: f64) -> f64 {
        slack(
            self.objectives
                .first()
                .and_then(|objective| objective.within),
            best,
        )
    }

    /// Sorts the best first.
    pub fn sort(&self, found: &mut Vec<Evaluated>, experiment: &Experiment) {
        found.sort_by(|one, other| {
            let [first, second] = [one, other].map(|each| self.first(&each.scope(experiment)));
            first
                .total_cmp(&second)
                .then_with(|| one.simulation.step.cmp(&other.simulation.step))
        });
        if let Some(best) = self.best(found, experiment) {
            let chosen = found.remove(best);
            found.insert(0, chosen);
        }
    }

    /// Narrows the field goal by goal.
    fn best(&self, found: &[Evaluated], experiment: &Experiment) -> Option<usize> {
        let mut field: Vec<usize> = (0..found.len()).collect();
        for objective in self.objectives {
            let values: Vec<f64> = field
                .iter()
                .map(|&index| value(objective, &found[index].scope(experiment)))
                .collect();
            let best = values.iter().copied().fold(f64::INFINITY, f64::min);
            let limit = slack(objective.within, best);
            field = field
                .into_iter()
                .zip(values)
                .filter(|(_, value)| *value <= limit)
                .map(|(index, _)| index)
                .collect();
        }
        field
            .into_iter()
            .min_by_key(|&index| (found[index].simulation.step, index))
    }
}

/// A goal's value, or the time of a step where there is no goal; smaller is better.
fn worth(goal: Option<&Objective>, scope: &Scoped<'_>) -> f64 {
    goal.map_or_else(
        || scope.step_seconds().unwrap_or(f64::INFINITY),
        |goal| value(goal, scope),
    )
}

/// One that stands behind another in a goal.
fn behind(goal: Option<&Objective>, least: &str, values: [f64; 2], steps: [u64; 2]) -> String {
    told(
        goal,
        ["slower", "dearer", "larger", "behind"],
        least,
        values,
        steps,
    )
}

/// One that is ahead of another in a goal.
fn ahead(goal: Option<&Objective>, values: [f64; 2], steps: [u64; 2]) -> String {
    told(
        goal,
        ["faster", "cheaper", "smaller", "ahead"],
        "",
        values,
        steps,
    )
}

fn told(
    goal: Option<&Objective>,
    [time, cost, memory, other]: [&str; 4],
    least: &str,
    values: [f64; 2],
    steps: [u64; 2],
) -> String {
    let bytes = |value: f64| super::gibibytes(libm::floor(value.max(0.0)) as u64);
    let (word, [value, best]) = match goal.map(|goal| goal.metric.as_str()) {
        None | Some("step_time" | "time") => (time, steps.map(super::seconds)),
        Some("cost") => (cost, values.map(|cost| format!("{cost:.0} usd"))),
        Some("memory.peak") => (memory, values.map(bytes)),
        Some(metric) => return format!("{other} in `{metric}`"),
    };
    format!("{word}: {least}{value} against {best}")
}

fn value(objective: &Objective, scope: &Scoped<'_>) -> f64 {
    match (objective.evaluate(scope), objective.direction) {
        (Some(value), Direction::Minimize) => value,
        (Some(value), Direction::Maximize) => -value,
        (None, _) => f64::INFINITY,
    }
}

fn slack(within: Option<f64>, best: f64) -> f64 {
    best + best.abs() * within.unwrap_or(0.0)
}
