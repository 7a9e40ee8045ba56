//! Reading and refusing: a plan file is believed only after its hash, its structure, its engine and its size fit.

use std::path::Path;

use pleach_data::order::Order;
use pleach_data::prepare::Prepared;
use pleach_plan::{Dtype, Op, Plan, check, json};

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
    if plan.tensors.iter().any(|tensor| tensor.dtype == Dtype::F16) {
        return Err(refused(
            "it computes in f16; this worker runs f64, f32 and bf16".to_owned(),
        ));
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

/// The samples that a rank reads and the hash of their order: the prepared data where its role has token instructions, else none.
///
/// # Errors
/// No folder named, data of something else, another order than the plan's, or files that cannot be read.
pub fn samples(
    plan: &Plan,
    stage: u32,
    folder: Option<&Path>,
) -> Result<(Box<dyn Samples>, Option<String>), Failure> {
    if !reads_tokens(plan, stage) {
        return Ok((Box::new(Given::default()), None));
    }
    let Some(folder) = folder else {
        return Err(
            Failure::new(Exit::Wish, "pleach::worker::data", "no data was named")
                .help("`--data DIR` names the folder of prepared data that `pleach run` makes"),
        );
    };
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(
            Exit::Wish,
            "pleach::worker::data",
            format!("{}: {error}", folder.display()),
        )
        .help("delete that folder; `pleach resume` prepares the data again")
    };
    let prepared = Prepared::open(folder).map_err(|error| failed(&error))?;
    let order = Order::open(plan, &prepared).map_err(|error| failed(&error))?;
    let hash = order
        .hash(order.samples())
        .map_err(|error| failed(&error))?;
    if let Some(wanted) = plan.data.order.as_ref().filter(|wanted| **wanted != hash) {
        let message = format!("the samples come in the order {hash}, the plan says {wanted}");
        return Err(Failure::new(Exit::Wish, "pleach::worker::order", message)
            .help("plan again from the spec, or run where the same data is"));
    }
    let samples = Dealt::new(order, plan.training.sequence);
    Ok((Box::new(samples), Some(hash)))
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
