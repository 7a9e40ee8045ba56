//! The smallest set of conditions that cannot hold together, found by leaving one out after the other.
//!
//! A condition stays when its absence alone gives a placement. Pins are left out first, then the memory, the laws, the number of
//! nodes: so the answer names what was wished and what there is, and a pin only where it is to blame.

use pleach_dsl::experiment::Experiment;
use pleach_dsl::wish::Choice;

use super::Asker;
use crate::search::why::Field;

/// One thing that a placement must meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The law of this number.
    Law(usize),
    /// What the spec says of a field.
    Pin(Field),
    /// The number of GPUs.
    Gpus,
    /// The memory of one.
    Memory,
}

/// How many times the nodes count as "any number".
const TIMES: [u64; 6] = [2, 4, 8, 16, 32, 64];

/// More than any device has.
const ROOM: u64 = 1 << 60;

/// All conditions of an experiment, in the order in which they are left out.
pub fn all(experiment: &Experiment) -> Vec<Condition> {
    let laws = (0..experiment.plan.requirements.len()).map(Condition::Law);
    pins(experiment)
        .into_iter()
        .map(Condition::Pin)
        .chain([Condition::Memory])
        .chain(laws)
        .chain([Condition::Gpus])
        .collect()
}

/// Fields of the placement that the spec says something of.
pub fn pins(experiment: &Experiment) -> Vec<Field> {
    let said = |field: &Field| *field != Field::Nodes && field.is_said(&experiment.plan);
    Field::ALL.into_iter().filter(said).collect()
}

/// The experiment with only some of its conditions.
pub fn under(experiment: &Experiment, kept: &[Condition]) -> Experiment {
    let mut open = experiment.clone();
    for field in pins(experiment) {
        if !kept.contains(&Condition::Pin(field)) {
            open = field.open(&open);
        }
    }
    let laws = experiment.plan.requirements.iter().enumerate();
    let laws = laws.filter(|(number, _)| kept.contains(&Condition::Law(*number)));
    open.plan.requirements = laws.map(|(_, law)| law.clone()).collect();
    if !kept.contains(&Condition::Memory) {
        open.cluster.memory = Some(ROOM);
    }
    if !kept.contains(&Condition::Gpus) {
        let most = experiment.sizes().into_iter().max().unwrap_or(1);
        let sizes = experiment
            .sizes()
            .into_iter()
            .chain(TIMES.map(|times| times * most));
        open.plan.nodes = Choice::OneOf(sizes.collect());
        open.plan.gpus = None;
    }
    open
}

/// The smallest set of conditions that cannot hold together; none where they can.
pub fn smallest(experiment: &Experiment, asker: &mut Asker<'_>) -> Vec<Condition> {
    let mut kept = all(experiment);
    if asker.any(experiment).is_some() {
        return Vec::new();
    }
    let without_pins: Vec<Condition> = kept
        .iter()
        .copied()
        .filter(|condition| !matches!(condition, Condition::Pin(_)))
        .collect();
    if asker.any(&under(experiment, &without_pins)).is_none() {
        kept = without_pins;
    }
    for condition in all(experiment) {
        let fewer: Vec<Condition> = kept
            .iter()
            .copied()
            .filter(|one| *one != condition)
            .collect();
        if fewer.len() < kept.len() && asker.any(&under(experiment, &fewer)).is_none() {
            kept = fewer;
        }
    }
    kept
}
