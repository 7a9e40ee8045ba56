//! The phases of a run follow one another and train one model on the same ranks.

use std::collections::BTreeMap;

use crate::check::fault::{Faults, Place, What};
use crate::{Begins, Plan};

/// Checks what each phase says of those before it.
pub fn phases(plan: &Plan, faults: &mut Faults) {
    let mut expected = plan.training.begins.clone();
    for phase in plan.phases() {
        let (training, mesh) = (&phase.training, plan.mesh);
        let name = training.phase.clone().unwrap_or_default();
        let mut hold = |holds: bool, field: &'static str, value: String, law: &'static str| {
            if !holds {
                faults.push(Place::named(&name), What::Number { field, value, law });
            }
        };
        let begins = &training.begins;
        hold(
            *begins == expected,
            "training.begins",
            format!("{} steps, {} samples", begins.steps, begins.samples),
            "a phase begins where the one before it ends",
        );
        hold(
            training.steps >= begins.steps,
            "training.steps",
            training.steps.to_string(),
            "a phase cannot end before it begins",
        );
        hold(
            phase.mesh.ranks() == mesh.ranks(),
            "mesh",
            format!("{} ranks", phase.mesh.ranks()),
            "all phases of a run have the same ranks",
        );
        let (own, first) = (&phase.hashes.experiment, &plan.hashes.experiment);
        hold(
            own == first,
            "hashes.experiment",
            own.clone(),
            "all phases belong to one experiment",
        );
        hold(
            parameters(phase) == parameters(plan),
            "parameters",
            format!("{} of them", phase.parameters.len()),
            "all phases train the same parameters",
        );
        let is_inner = std::ptr::eq(phase, plan) || phase.then.is_empty();
        hold(
            is_inner,
            "then",
            format!("{} phases", phase.then.len()),
            "a phase holds no others",
        );
        expected = Begins {
            steps: training.steps,
            samples: training.samples(training.steps),
        };
    }
}

/// Shapes by name.
fn parameters(plan: &Plan) -> BTreeMap<&str, &[u64]> {
    let all = plan.parameters.iter();
    all.map(|parameter| (parameter.name.as_str(), parameter.dims.as_slice()))
        .collect()
}
