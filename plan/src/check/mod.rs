//! The structural check: whether a plan is a program that can run to its end, whatever it computes.
//!
//! In comes any plan that could be deserialised, out come all faults up to a limit, as data. Later stages rest on earlier ones,
//! so the check stops after the first stage that finds something: tables and sizes, then bodies by themselves, then each role
//! alone, then all roles together. Nothing here panics, overflows or allocates more than the plan itself is long. Whether the
//! program computes the right thing is not asked here but by the planner's verifier.

mod bodies;
pub mod fault;
mod header;
mod meeting;
mod ops;
mod parameters;
mod phases;
mod roles;
pub mod signature;
mod tables;

pub use fault::{Fault, Place, What};

use crate::Plan;
use fault::Faults;

/// Checks the structure of a plan, and of the phases behind it.
///
/// # Errors
/// What is wrong: places with the figures that disagree.
pub fn check(plan: &Plan) -> Result<(), Vec<Fault>> {
    plan.phases().try_for_each(alone)?;
    let mut faults = Faults::default();
    phases::phases(plan, &mut faults);
    faults.verdict()
}

/// Checks one phase.
fn alone(plan: &Plan) -> Result<(), Vec<Fault>> {
    let stages: [fn(&Plan, &mut Faults); 6] = [
        header::header,
        tables::tables,
        parameters::parameters,
        bodies::bodies,
        roles::roles,
        meeting::meeting,
    ];
    let mut faults = Faults::default();
    for stage in stages {
        stage(plan, &mut faults);
        if !faults.is_empty() {
            break;
        }
    }
    faults.verdict()
}
