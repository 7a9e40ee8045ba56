//! Goals out of reach: which conditions cannot hold together, the arithmetic of the laws among them, and what would help.
//!
//! Conditions and changes come from the planner, which has planned each of them; here they become one message with its places.

use pleach_dsl::experiment::Experiment;
use pleach_dsl::wish::{Objective, Requirement, Verdict};
use pleach_planner::hardware;
use pleach_planner::report::model;
use pleach_planner::search::Evaluated;
use pleach_planner::search::reach::changes::{Change, Helped, helping, most_steps};
use pleach_planner::search::reach::conditions::{Condition, smallest};
use pleach_planner::search::reach::{Asker, metric};
use pleach_planner::search::why::Field;

use super::{CLUSTER, Planned};
use crate::failure::Failure;
use crate::places::Trouble;
use crate::preset;
use crate::screen::figures::{bytes, count, seconds};

/// A goal out of reach, understood.
struct Conflict<'p> {
    planned: &'p Planned,
    experiment: &'p Experiment,
    conditions: Vec<Condition>,
    /// The placements that come nearest to the laws in conflict, by the laws' numbers.
    nearest: Vec<(usize, Evaluated)>,
}

/// The message about an experiment of which no placement obeys every law.
pub fn failure(planned: &Planned) -> Failure {
    let experiment = &planned.experiment;
    let mut asker = Asker::new(&planned.hardware);
    let conditions = smallest(experiment, &mut asker);
    let laws = conditions.iter().filter_map(|condition| match condition {
        Condition::Law(law) => Some(*law),
        _ => None,
    });
    let nearest = laws
        .filter_map(|law| Some((law, asker.nearest(experiment, law)?)))
        .collect();
    let conflict = Conflict {
        planned,
        experiment,
        conditions,
        nearest,
    };
    let helped = helping(
        experiment,
        &conflict.conditions,
        &conflict.nearest,
        &mut asker,
    );
    let problem = conflict.labelled().problem(
        "pleach::plan::law",
        conflict.title(),
        &conflict.arithmetic(),
        conflict.help(&helped),
    );
    Failure::problems(vec![problem])
}

impl Conflict<'_> {
    fn law(&self, number: usize) -> &Requirement {
        &self.experiment.plan.requirements[number]
    }

    fn near(&self, law: usize) -> Option<&Evaluated> {
        let found = self.nearest.iter().find(|(number, _)| *number == law);
        found.map(|(_, near)| near)
    }

    fn gpus(&self) -> u64 {
        self.experiment.ranks()
    }

    fn capacity(&self) -> u64 {
        self.planned.answer.chosen.capacity
    }

    /// The conditions in a sentence: `no plan trains gpt_neox_20b in 30 days on 96 GPUs`.
    fn title(&self) -> String {
        let part = |condition: &Condition| match condition {
            Condition::Law(law) => wanted(&self.law(*law).text),
            Condition::Pin(field) => format!("with `{} = {}`", field.name(), self.said(*field)),
            Condition::Gpus => format!("on {} GPUs", self.gpus()),
            Condition::Memory => format!("in {} of each GPU", bytes(self.capacity())),
        };
        let order = |condition: &&Condition| match condition {
            Condition::Law(_) => 0,
            Condition::Gpus => 1,
            Condition::Memory => 2,
            Condition::Pin(_) => 3,
        };
        let mut sorted: Vec<&Condition> = self.conditions.iter().collect();
        sorted.sort_by_key(order);
        let parts: Vec<String> = sorted.into_iter().map(part).collect();
        format!(
            "no plan trains {} {}",
            self.experiment.name,
            parts.join(" ")
        )
    }

    /// What the spec says of a field.
    fn said(&self, field: Field) -> String {
        let origin = self.experiment.origins.get(&field.path());
        origin.map_or_else(|| "auto".to_owned(), |origin| origin.text.clone())
    }

    /// A label at each condition.
    fn labelled(&self) -> Trouble {
        let spec = &self.planned.spec;
        let mut trouble = Trouble::new(spec);
        for condition in &self.conditions {
            match condition {
                Condition::Law(law) => {
                    trouble.mark(spec, &self.law(*law).place, self.reached(*law))
                }
                Condition::Pin(field) => {
                    trouble.label(spec, self.experiment, &[&field.path()], "pinned here");
                }
                Condition::Gpus => trouble.label(spec, self.experiment, &CLUSTER, self.machines()),
                Condition::Memory => {
                    let text = format!("{} each", bytes(self.capacity()));
                    trouble.label(
                        spec,
                        self.experiment,
                        &["cluster.memory", "cluster.nodes"],
                        text,
                    );
                }
            }
        }
        trouble
    }

    fn machines(&self) -> String {
        let each = self.experiment.cluster.peak_flops;
        let each = each.map(|peak| format!("{:.0} TFLOP/s", peak / 1e12));
        match each {
            Some(each) => format!("{} x {each}", self.gpus()),
            None => format!("{} ranks", self.gpus()),
        }
    }

    /// What comes nearest to a law: `the best plan takes 75 days`.
    fn reached(&self, law: usize) -> String {
        let requirement = self.law(law);
        let because = requirement.because.as_ref();
        let because = because.map_or_else(String::new, |because| format!(" ({because})"));
        let near = self.near(law).zip(metric(requirement));
        let Some((figure, metric)) = near.map(|(near, metric)| (self.figure(metric, near), metric))
        else {
            return format!("this law{because}");
        };
        let verb = match metric {
            "time" | "step_time" => "takes",
            "cost" => "costs",
            _ => "needs",
        };
        format!("the best plan {verb} {figure}{because}")
    }

    /// A figure of a placement, as people read it.
    fn figure(&self, metric: &str, found: &Evaluated) -> String {
        figure(self.experiment, metric, found)
    }

    /// Every law in conflict with the value of each part, under the placement that comes nearest.
    fn arithmetic(&self) -> String {
        let pictures = self.nearest.iter().filter_map(|(law, near)| {
            match self.law(*law).check(&near.scope(self.experiment)) {
                Verdict::Fails { power, .. } => Some(power),
                Verdict::Holds | Verdict::Unknown(_) => None,
            }
        });
        pictures.collect::<Vec<_>>().join("\n")
    }

    fn help(&self, helped: &[Helped]) -> String {
        let mut helps: Vec<String> = helped.iter().map(|helped| self.offer(helped)).collect();
        helps.extend(self.devices());
        helps.extend(self.loosened());
        let helps = if helps.is_empty() {
            "no single change that was tried is enough: loosen a law, or leave more of `plan` open"
                .to_owned()
        } else {
            helps.join("; or ")
        };
        let work = self
            .conditions
            .iter()
            .find_map(|condition| match condition {
                Condition::Law(law) => self.work(*law),
                _ => None,
            });
        work.map_or(helps.clone(), |work| format!("{work}. {helps}"))
    }

    /// How much of the devices' peak a law about the run's time asks for.
    fn work(&self, law: usize) -> Option<String> {
        let near = self.near(law)?;
        let requirement = self.law(law);
        if metric(requirement) != Some("time") {
            return None;
        }
        let (experiment, peak) = (self.experiment, self.experiment.cluster.peak_flops?);
        let step = near.simulation.step as f64 * 1e-12;
        let (steps, most) = (
            experiment.train.steps,
            most_steps(experiment, requirement, near),
        );
        let rate = model::model_flops(experiment) / step / (peak * self.gpus() as f64);
        let needed = rate * steps as f64 / most.max(1) as f64;
        let all = model::model_flops(experiment) * steps as f64;
        let limit = seconds(step * most as f64);
        let [needed, rate] = [needed, rate].map(|share| format!("{:.0} %", share * 100.0));
        Some(format!(
            "{all:.2e} FLOP in {limit} need {needed} of peak, the best plan reaches {rate}"
        ))
    }

    /// What a tried change reaches.
    fn offer(&self, helped: &Helped) -> String {
        let reached = self.summary(&helped.experiment, &helped.found);
        match &helped.change {
            Change::Nodes(nodes) => format!("`cluster.nodes = {nodes}` ({reached})"),
            Change::Open(field) => {
                let value = field.chosen(&helped.experiment, &helped.found);
                let value = value.map_or_else(String::new, |pin| format!(": {}", pin.value()));
                format!("`{} = auto` ({reached}{value})", field.path())
            }
            Change::Steps(steps) => format!("`train.steps = {}` ({reached})", underscored(*steps)),
        }
    }

    /// The limited figures of a placement.
    fn summary(&self, experiment: &Experiment, found: &Evaluated) -> String {
        let laws = self
            .conditions
            .iter()
            .filter_map(|condition| match condition {
                Condition::Law(law) => metric(self.law(*law)),
                _ => None,
            });
        let figures: Vec<String> = laws
            .map(|metric| figure(experiment, metric, found))
            .collect();
        if figures.is_empty() {
            return format!("{} a step", seconds(found.simulation.step as f64 * 1e-12));
        }
        figures.join(", ")
    }

    /// The same cluster of other devices, where they are enough.
    fn devices(&self) -> Vec<String> {
        let own = &self.experiment.cluster;
        let there = preset::DEVICES.iter().position(|name| *name == own.device);
        let larger = there.map_or(&[][..], |index| &preset::DEVICES[index + 1..]);
        let tried = larger.iter().filter_map(|name| {
            let mut other = self.experiment.clone();
            other.cluster = preset::cluster(name, own.nodes, own.gpus_per_node).ok()?;
            let table = hardware::of(&other.cluster, other.train.precision).ok()?;
            let found = Asker::new(&table).any(&other)?;
            Some(format!(
                "`cluster = {name}` ({})",
                self.summary(&other, &found)
            ))
        });
        tried.take(1).collect()
    }

    /// What each law alone would have to allow; the nearest placement obeys all the others.
    fn loosened(&self) -> Vec<String> {
        let laws = self.nearest.iter();
        let told = laws.filter_map(|(law, near)| {
            let metric = metric(self.law(*law))?;
            let value = value(self.experiment, metric, near);
            let is_ceiling = self.law(*law).is_ceiling_of(&[metric]);
            let limit = outwards(metric, value, is_ceiling);
            Some(format!(
                "a limit of {} for `{metric}`",
                shown(metric, limit)
            ))
        });
        told.collect()
    }
}

/// A law as a wish: `time <= 30 days` is `in 30 days`.
fn wanted(law: &str) -> String {
    let limits = [("time <= ", "in"), ("cost <= ", "for")];
    let plain =
        |rest: &&str| !rest.contains(['(', '*', '+', '/', '<', '>']) && !rest.contains(" and ");
    let told = limits.iter().find_map(|(start, word)| {
        let rest = law.strip_prefix(start).filter(plain)?;
        Some(format!("{word} {rest}"))
    });
    told.unwrap_or_else(|| format!("with `{law}`"))
}

/// A figure of a placement, as people read it.
fn figure(experiment: &Experiment, metric: &str, found: &Evaluated) -> String {
    shown(metric, value(experiment, metric, found))
}

fn value(experiment: &Experiment, metric: &str, found: &Evaluated) -> f64 {
    let objective = Objective::minimize(metric);
    let scope = found.scope(experiment);
    objective.evaluate(&scope).unwrap_or(f64::NAN)
}

/// The next value that is shown exactly and that the placement still obeys.
fn outwards(metric: &str, value: f64, is_ceiling: bool) -> f64 {
    let unit = match (metric, value) {
        ("memory.peak", _) => f64::from(1 << 30) / 10.0,
        ("cost", _) => 1.0,
        (_, v) if v < 1e-3 => 1e-6,
        (_, v) if v < 1.0 => 1e-3,
        (_, v) if v < 10.0 => 1e-2,
        (_, v) if v < 120.0 => 1e-1,
        (_, v) if v < 48.0 * 3600.0 => 60.0,
        _ => 8640.0,
    };
    let steps = value / unit;
    let whole = if is_ceiling {
        steps.ceil()
    } else {
        steps.floor()
    };
    whole * unit
}

fn shown(metric: &str, value: f64) -> String {
    match metric {
        "memory.peak" => bytes(value as u64),
        "cost" => format!("{} usd", count(value as u64)),
        _ => seconds(value),
    }
}

/// A number as a spec writes it: `60_000`.
fn underscored(number: u64) -> String {
    count(number).replace(',', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offered_limit_holds_as_it_is_shown() {
        for (value, ceiling, floor) in [
            (6.1534, "6.16 s", "6.15 s"),
            (61.53, "61.6 s", "61.5 s"),
            (0.0123, "13 ms", "12 ms"),
            (800_000.0, "9.3 days", "9.2 days"),
        ] {
            assert_eq!(shown("time", outwards("time", value, true)), ceiling);
            assert_eq!(shown("time", outwards("time", value, false)), floor);
        }
        let bytes = 19.73 * f64::from(1 << 30);
        assert_eq!(
            shown("memory.peak", outwards("memory.peak", bytes, true)),
            "19.8 GiB"
        );
        assert_eq!(shown("cost", outwards("cost", 12.1, true)), "13 usd");
    }
}
