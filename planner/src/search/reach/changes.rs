//! Single changes after which a goal is reached. Each is planned before it is offered, and carries the placement that reaches it.

use pleach_dsl::experiment::Experiment;
use pleach_dsl::wish::{Requirement, Verdict};

use super::conditions::{self, Condition};
use super::{Asker, is_timed};
use crate::search::Evaluated;
use crate::search::space;
use crate::search::why::Field;

/// One change of a spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// So many nodes.
    Nodes(u64),
    /// A field left to the planner.
    Open(Field),
    /// So many steps.
    Steps(u64),
}

/// A change that was tried and helps.
#[derive(Clone, Debug)]
pub struct Helped {
    /// The change.
    pub change: Change,
    /// A placement that meets every condition after it.
    pub found: Evaluated,
    /// The experiment after it.
    pub experiment: Experiment,
}

/// How many times the nodes a change may go.
const MOST: u64 = 64;

/// Sizes of the cluster that are tried between the one that is there and the first power of two times it that helps.
const SIZES: u64 = 24;

/// Every change that helps. `nearest` are the placements that come nearest to the laws in conflict, by the laws' numbers.
pub fn helping(
    experiment: &Experiment,
    conflict: &[Condition],
    nearest: &[(usize, Evaluated)],
    asker: &mut Asker<'_>,
) -> Vec<Helped> {
    let mut helped: Vec<Helped> = Vec::new();
    if conflict.contains(&Condition::Gpus) {
        helped.extend(nodes(experiment, asker));
    }
    for condition in conflict {
        match condition {
            Condition::Pin(field) => helped.extend(opened(experiment, *field, asker)),
            Condition::Law(law) => {
                let near = nearest.iter().find(|(number, _)| number == law);
                let near = near.map(|(_, near)| near);
                helped.extend(near.and_then(|near| fewer_steps(experiment, *law, near, asker)));
            }
            Condition::Gpus | Condition::Memory => {}
        }
    }
    let others = conditions::pins(experiment).into_iter();
    let others = others.filter(|field| !conflict.contains(&Condition::Pin(*field)));
    for field in others {
        helped.extend(opened(experiment, field, asker));
    }
    helped
}

fn opened(experiment: &Experiment, field: Field, asker: &mut Asker<'_>) -> Option<Helped> {
    let open = field.open(experiment);
    let found = asker.any(&open)?;
    Some(Helped {
        change: Change::Open(field),
        found,
        experiment: open,
    })
}

/// The fewest nodes that help, among some between those that are there and the first doubling that does.
fn nodes(experiment: &Experiment, asker: &mut Asker<'_>) -> Option<Helped> {
    let there = experiment.sizes().into_iter().max()?;
    let mut on = |nodes: u64| {
        let mut larger = experiment.on_nodes(nodes);
        larger.plan.gpus = None;
        let found = asker.any(&larger)?;
        Some(Helped {
            change: Change::Nodes(nodes),
            found,
            experiment: larger,
        })
    };
    let doublings = std::iter::successors(Some(there * 2), |nodes| Some(nodes * 2));
    let mut doublings = doublings.take_while(|nodes| *nodes <= there * MOST);
    let enough = doublings.find_map(&mut on)?;
    let Change::Nodes(most) = enough.change else {
        return Some(enough);
    };
    let least = most / 2;
    let stride = (most - least).div_ceil(SIZES).max(1);
    let between = (1..)
        .map(|step| least + step * stride)
        .take_while(|nodes| *nodes < most);
    let fewer = between.into_iter().find_map(on);
    Some(fewer.unwrap_or(enough))
}

/// The most steps, of two digits, with which a law about the whole run holds.
fn fewer_steps(
    experiment: &Experiment,
    law: usize,
    nearest: &Evaluated,
    asker: &mut Asker<'_>,
) -> Option<Helped> {
    let laws = &experiment.plan.requirements;
    let law = laws.get(law).filter(|law| is_timed(law))?;
    let steps = rounded(most_steps(experiment, law, nearest)).filter(|steps| *steps > 0)?;
    let mut shorter = experiment.clone();
    shorter.train.steps = steps;
    let found = asker.any(&shorter)?;
    Some(Helped {
        change: Change::Steps(steps),
        found,
        experiment: shorter,
    })
}

/// A number rounded down to two digits.
fn rounded(number: u64) -> Option<u64> {
    let digits = 10u64.pow(number.checked_ilog10()?.saturating_sub(1));
    Some(number / digits * digits)
}

/// The most steps with which a placement obeys a law.
pub fn most_steps(experiment: &Experiment, law: &Requirement, nearest: &Evaluated) -> u64 {
    let mut trial = experiment.clone();
    let mut holds = |steps: u64| {
        trial.train.steps = steps;
        law.check(&nearest.scope(&trial)) == Verdict::Holds
    };
    let (mut low, mut high) = (0, experiment.train.steps);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            low = middle
        } else {
            high = middle
        }
    }
    low
}

/// Whether a placement obeys every law of an experiment.
pub fn obeys(experiment: &Experiment, found: &Evaluated) -> bool {
    let laws = &experiment.plan.requirements;
    found.fits() && space::broken_law(laws, &found.scope(experiment)).is_none()
}
