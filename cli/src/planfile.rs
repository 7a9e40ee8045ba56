//! A plan file: read, believed only when its hash and its structure hold, and measured against this machine.
//!
//! Every plan passes here before a worker is started, whether it was just made or comes from a file that somebody edited.

use std::path::Path;

use pleach_plan::hardware::Kind;
use pleach_plan::json::{self, ReadError};
use pleach_plan::{Plan, Role, check};

use crate::failure::{Failure, Outcome};
use crate::machine::Machine;
use crate::screen::figures;

/// Faults of a structure that are shown.
const SHOWN: usize = 12;

/// Reads a plan and checks everything that can be checked about it alone.
pub fn read(path: &Path) -> Outcome<Plan> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::reading(path, &error))?;
    let plan = json::read(&text).map_err(|error| refused(path, &error))?;
    structure(&plan)?;
    Ok(plan)
}

fn refused(path: &Path, error: &ReadError) -> Failure {
    let shown = path.display();
    let (code, message) = match error {
        ReadError::Json(_) => (
            "pleach::plan::unreadable",
            format!("`{shown}` is not a plan"),
        ),
        ReadError::Schema { .. } => (
            "pleach::plan::schema",
            format!("`{shown}` is a plan of another version"),
        ),
        ReadError::Hash { .. } => (
            "pleach::plan::edited",
            format!("`{shown}` was changed after it was made"),
        ),
    };
    Failure::wish(code, message)
        .detail(error.to_string())
        .help("change the spec and plan again: `pleach plan FILE --out PLAN.json`")
}

/// The structural check, with its faults as one failure.
pub fn structure(plan: &Plan) -> Outcome<()> {
    check::check(plan).map_err(|faults| {
        let lines: Vec<String> = faults.iter().take(SHOWN).map(ToString::to_string).collect();
        let more = faults.len().saturating_sub(SHOWN);
        let rest = if more > 0 {
            format!("\nand {more} more")
        } else {
            String::new()
        };
        Failure::wish(
            "pleach::plan::structure",
            "the plan is not a program that can run to its end",
        )
        .detail(format!("{}{rest}", lines.join("\n")))
        .help("plan again from the spec; if that gives the same, it is a fault of pleach")
    })
}

/// Refuses a plan of which this machine cannot run a phase: another engine's, a type that is only planned, data that is only planned, more
/// memory than there is.
pub fn runs_here(plan: &Plan, machine: &Machine) -> Outcome<()> {
    plan.phases()
        .try_for_each(|phase| phase_runs_here(phase, machine))
}

/// Data that can be planned, but not read as the spec says.
pub fn unread(what: &[String]) -> Failure {
    Failure::wish(
        "pleach::plan::unsupported",
        "the data of this plan cannot be read as its spec says yet",
    )
    .detail(what.join("\n"))
    .help("leave them out of the spec's `data` to run it; as it stands it can be planned")
}

fn phase_runs_here(plan: &Plan, machine: &Machine) -> Outcome<()> {
    if plan.engine != "pleach" {
        return Err(Failure::wish(
            "pleach::plan::engine",
            format!("a plan for the engine `{}` is not run here", plan.engine),
        )
        .help("set `engine = pleach` in the spec's `plan`"));
    }
    if !plan.data.unread.is_empty() {
        return Err(unread(&plan.data.unread));
    }
    has_gpus(plan, machine)?;
    let needed = needed(plan);
    if machine.memory > 0 && needed > machine.memory {
        let [needed, there] = [needed, machine.memory].map(figures::bytes);
        let ranks = plan.mesh.ranks();
        return Err(Failure::wish(
            "pleach::plan::memory",
            format!("{ranks} ranks need {needed} together, this machine has {there}"),
        )
        .help(
            "a smaller `train.global_batch` or model, fewer ranks, or a machine with more memory",
        ));
    }
    Ok(())
}

/// Refuses a plan for more GPUs than are here, as far as that is known.
fn has_gpus(plan: &Plan, machine: &Machine) -> Outcome<()> {
    let predicted = plan.prediction.as_ref();
    let on_gpu = predicted.is_some_and(|own| own.device == Kind::Gpu);
    let here = machine.gpus.or((!Machine::has_driver()).then_some(0));
    let ranks = plan.mesh.ranks();
    match here.filter(|here| on_gpu && *here < ranks && !Machine::is_told_its_device()) {
        None => Ok(()),
        Some(here) => Err(Failure::wish(
            "pleach::run::gpus",
            format!("the plan is for {ranks} GPUs, this machine has {here}"),
        )
        .help("plan for the machines that are here; PLEACH_DEVICE=cpu computes on the processor")),
    }
}

/// Bytes of all ranks together, as predicted; without a prediction, of their tensors alone.
fn needed(plan: &Plan) -> u64 {
    let ranks = u64::from(plan.mesh.dp) * u64::from(plan.mesh.tp);
    let of_stage = |(index, role): (usize, &Role)| match plan
        .prediction
        .as_ref()
        .and_then(|prediction| prediction.roles.get(index))
    {
        Some(expected) => expected.allocated_peak.saturating_add(expected.overhead),
        None => pleach_plan::ledger::summary(plan, role).allocated_peak,
    };
    plan.roles
        .iter()
        .enumerate()
        .map(of_stage)
        .fold(0_u64, |sum, bytes| {
            sum.saturating_add(bytes.saturating_mul(ranks))
        })
}
