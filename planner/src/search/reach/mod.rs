//! Goals that are out of reach: an experiment without a placement in, the smallest set of conditions that cannot hold together and
//! single changes that would help out, each tried by planning it.

pub mod changes;
pub mod conditions;
#[cfg(test)]
mod tests;

use pleach_dsl::experiment::Experiment;
use pleach_dsl::wish::{Objective, Requirement};
use pleach_plan::hardware::Hardware;

use super::{BOUNDED, Candidate, Evaluated, Known, Options, Search, Sized, evaluate, space};

/// Asks again and again whether there is any placement, and remembers what bodies cost: it is the same for all questions about one
/// model on one device.
pub struct Asker<'h> {
    hardware: &'h Hardware,
    known: Known,
}

impl<'h> Asker<'h> {
    /// For a device, and one model with one batch on it.
    pub fn new(hardware: &'h Hardware) -> Self {
        Asker {
            hardware,
            known: Known::default(),
        }
    }

    /// A placement that fits and obeys all laws: the first one found, which is near the best by its bounds.
    pub fn any(&mut self, experiment: &Experiment) -> Option<Evaluated> {
        let sizes: Vec<Experiment> = experiment
            .sizes()
            .into_iter()
            .map(|nodes| experiment.on_nodes(nodes))
            .collect();
        let spaces: Vec<space::Space> = sizes.iter().map(space::enumerate).collect();
        let placements: Vec<Sized> = spaces
            .iter()
            .enumerate()
            .flat_map(|(size, space)| space.candidates.iter().map(move |one| (size, one)))
            .collect();
        let mut search = Search::new(experiment, &sizes, self.hardware);
        search.known = std::mem::take(&mut self.known);
        let mut candidates = search.price(&placements).able;
        let capacity = evaluate::capacity(experiment, self.hardware);
        candidates.retain(|candidate| {
            candidate.bound.peak <= capacity && search.broken_at_least(candidate).is_none()
        });
        let is_timed = experiment.plan.requirements.iter().any(is_timed);
        candidates.sort_by_key(|candidate| {
            let Candidate { bound, .. } = candidate;
            if is_timed {
                [bound.step, bound.peak]
            } else {
                [bound.peak, bound.step]
            }
        });
        let obeys = |one: &Evaluated| {
            one.fits() && space::broken_law(search.laws, &one.scope(experiment)).is_none()
        };
        let mut tried = candidates
            .iter()
            .filter_map(|candidate| search.evaluated(candidate).ok());
        let found = tried.find(obeys);
        self.known = search.known;
        found
    }

    /// The placement that comes nearest to obeying a law, all other laws obeyed.
    pub fn nearest(&mut self, experiment: &Experiment, law: usize) -> Option<Evaluated> {
        let mut without = experiment.clone();
        let removed = without.plan.requirements.remove(law);
        if let Some(metric) = metric(&removed) {
            without.plan.objectives = vec![Objective::minimize(metric)];
        }
        let options = Options { alternatives: 0 };
        let answer = super::plan_knowing(&without, self.hardware, options, &mut self.known).ok()?;
        (answer.feasible > 0).then_some(answer.chosen)
    }
}

/// Whether a law is about time or what rises with it.
fn is_timed(law: &Requirement) -> bool {
    metric(law).is_some_and(|metric| metric != "memory.peak")
}

/// The figure that a law limits from above.
pub fn metric(law: &Requirement) -> Option<&'static str> {
    let names = law.names();
    let limited = law.is_ceiling_of(&BOUNDED);
    BOUNDED
        .into_iter()
        .rev()
        .find(|figure| limited && names.iter().any(|name| name == figure))
}
