//! Reading and refusing: a plan file is believed only after its hash, its structure, its engine and its size fit.

use std::path::{Path, PathBuf};

use pleach_data::order::{Order, Phases, Section};
use pleach_data::prepare::Prepared;
use pleach_plan::{HeldOut, Op, Plan, check, json};
use pleach_storage::hf::Weights;

use crate::data::{Dealt, Given, Samples};
use crate::environment::Environment;
use crate::error::{Exit, Failure};

/// The engine whose programs this worker runs.
const ENGINE: &str = "pleach";
/// How many faults of a plan are named.
const SHOWN: usize = 5;

/// Reads a plan file and checks everything that can be checked without its data.
///
/// # Errors
/// Not a plan, changed since it was made, a program that cannot run to its end, or one for other workers or more ranks.
pub fn plan(path: &Path, environment: &Environment) -> Result<Plan, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::file(path, &error))?;
    let refused = |message: String| {
        Failure::new(
            Exit::Wish,
            "pleach::worker::plan",
            format!("{}: {message}", path.display()),
        )
        .help("`pleach plan SPEC --out PLAN.json` makes it again")
    };
    let plan = json::read(&text).map_err(|error| refused(error.to_string()))?;
    check::check(&plan).map_err(|faults| {
        let lines: Vec<String> = faults
            .iter()
            .take(SHOWN)
            .map(|fault| format!("\n  {fault}"))
            .collect();
        let more = faults.len().saturating_sub(SHOWN);
        let rest = if more > 0 {
            format!("\n  and {more} more")
        } else {
            String::new()
        };
        refused(format!("the program is not sound:{}{rest}", lines.concat()))
    })?;
    if plan.engine != ENGINE {
        return Err(refused(format!(
            "it is for the engine `{}`, this worker runs `{ENGINE}`",
            plan.engine
        )));
    }
    if plan.mesh.ranks() != environment.world {
        let message = format!(
            "it is for {} ranks, {} were started",
            plan.mesh.ranks(),
            environment.world
        );
        return Err(refused(message).help("start one worker for each rank of the plan"));
    }
    Ok(plan)
}

/// A phase of a run, by its place from 0.
///
/// # Errors
/// The run has not so many.
pub fn phase(run: &Plan, place: usize) -> Result<&Plan, Failure> {
    let count = run.phases().count();
    run.phases().nth(place).ok_or_else(|| {
        let message = format!("there is no phase {}, the plan has {count}", place + 1);
        Failure::new(Exit::Wish, "pleach::worker::phase", message)
    })
}

/// The weights that a run begins with, held against its model; none where they are drawn.
///
/// # Errors
/// No folder named, or one that holds something else.
pub fn weights(plan: &Plan, folder: Option<&Path>) -> Result<Option<Weights>, Failure> {
    let Some(named) = &plan.training.weights else {
        return Ok(None);
    };
    let refused = |message: String| Failure::new(Exit::Wish, "pleach::worker::weights", message);
    let Some(folder) = folder else {
        let message = format!("the run begins with the weights of {}", named.source);
        return Err(
            refused(message).help("`--weights DIR` names their folder, which `pleach run` does")
        );
    };
    let opened = Weights::open(folder, plan);
    opened.map(Some).map_err(|error| refused(error.to_string()))
}

/// The samples that a rank reads in a phase and the hash of the whole run's order: the prepared data where its role has token
/// instructions, else none. `folders` has one for each phase.
///
/// # Errors
/// No folder named, data of something else, another order than the plan's, or files that cannot be read.
pub fn samples(
    run: &Plan,
    phase: usize,
    stage: u32,
    folders: &[PathBuf],
) -> Result<(Box<dyn Samples>, Option<String>), Failure> {
    let Some(plan) = run
        .phases()
        .nth(phase)
        .filter(|plan| reads_tokens(plan, stage))
    else {
        return Ok((Box::new(Given::default()), None));
    };
    let phases = run.phases().count();
    if folders.len() != phases {
        let message = match folders.len() {
            0 => "no data was named".to_owned(),
            named => format!("{named} folders of data were named for {phases} phases"),
        };
        return Err(Failure::new(Exit::Wish, "pleach::worker::data", message).help(
            "`--data DIR`, once for each phase, names the folder of prepared data that `pleach run` makes",
        ));
    }
    let failed = |error: &dyn std::fmt::Display| {
        let folder = folders[phase].display();
        Failure::new(
            Exit::Wish,
            "pleach::worker::data",
            format!("{folder}: {error}"),
        )
        .help("delete that folder; `pleach resume` prepares the data again")
    };
    let prepared = folders.iter().map(|folder| Prepared::open(folder));
    let prepared: Vec<Prepared> = prepared
        .collect::<Result<_, _>>()
        .map_err(|error| failed(&error))?;
    let orders = Phases::open(run, &prepared).map_err(|error| failed(&error))?;
    let hash = orders.hash().map_err(|error| failed(&error))?;
    if let Some(wanted) = plan.data.order.as_ref().filter(|wanted| **wanted != hash) {
        let message = format!("the samples come in the order {hash}, the plan says {wanted}");
        return Err(Failure::new(Exit::Wish, "pleach::worker::order", message)
            .help("plan again from the spec, or run where the same data is"));
    }
    let order = orders
        .into_order(phase)
        .ok_or_else(|| failed(&"no order"))?;
    Ok((
        Box::new(Dealt::new(order, plan.training.sequence)),
        Some(hash),
    ))
}

/// What the loss of a phase is measured on.
pub struct Measured {
    /// Global batches, at most one pass. Every rank finds the same number, those whose roles read no tokens too.
    pub batches: u64,
    /// Their samples.
    pub samples: Box<dyn Samples>,
}

/// What the loss of a phase is measured on; none where it is not measured.
///
/// # Errors
/// As [`samples`]; a part that is shorter than a sample.
pub fn held_out(
    run: &Plan,
    phase: usize,
    stage: u32,
    folders: &[PathBuf],
) -> Result<Option<Measured>, Failure> {
    let plan = self::phase(run, phase)?;
    let (Some(evaluation), Some(folder)) = (plan.training.evaluation, folders.get(phase)) else {
        return Ok(None);
    };
    let section = match evaluation.part {
        HeldOut::Validation => Section::Validation,
        HeldOut::Test => Section::Test,
    };
    let (sequence, batch) = (plan.training.sequence, plan.training.global_batch);
    let total = evaluation.batches.saturating_mul(batch);
    let order = Prepared::open(folder)
        .map_err(|error| error.to_string())
        .and_then(|data| {
            Order::held_out(&plan.data, section, [sequence, total], &data)
                .map_err(|error| error.to_string())
        });
    let order = order.map_err(|error| {
        let message = format!("what is held out cannot be measured on: {error}");
        Failure::new(Exit::Wish, "pleach::worker::data", message)
            .help("a larger share of `data.split` holds more documents out")
    })?;
    let batches = order.windows().div_ceil(batch).min(evaluation.batches);
    let samples: Box<dyn Samples> = match reads_tokens(plan, stage) {
        true => Box::new(Dealt::new(order, sequence)),
        false => Box::new(Given::default()),
    };
    Ok(Some(Measured { batches, samples }))
}

fn reads_tokens(plan: &Plan, stage: u32) -> bool {
    let role = &plan.roles[stage as usize];
    let calls = role.slots.iter().filter_map(|slot| match slot {
        pleach_plan::Slot::Call(call) => Some(&plan.bodies[call.body.0 as usize]),
        _ => None,
    });
    calls
        .flat_map(|body| &body.code)
        .any(|instr| matches!(instr.op, Op::Tokens { .. }))
}
