//! What the bodies of one row's plan cost, operation by operation: for finding out why a prediction is off.
//!
//! In comes a row, out come lines of text: for each body its operations with their count, and their time as planning prices it, memory by stage, and the program.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use pleach_planner::cost::{Costs, PICO};
use pleach_planner::{hardware, memory, program};

use super::case::Case;
use super::rows::Row;

/// Lists the parts of a row's step.
///
/// # Errors
/// The row cannot be predicted.
pub fn list(row: &Row) -> Result<String, String> {
    let case = Case::of(row)?;
    let plan =
        program::emit(&case.experiment, &case.placement).map_err(|error| error.to_string())?;
    let table = hardware::plain(case.device()).map_err(|error| error.to_string())?;
    let table = match hardware::fitted::Fitted::of(case.device()) {
        Some(fitted) => fitted.applied(table),
        None => table,
    };
    let costs = Costs::new(&plan, &table, &case.experiment.cluster);
    let mut lines = String::new();
    for body in &plan.bodies {
        let mut parts: BTreeMap<String, (u32, u64)> = BTreeMap::new();
        for instr in &body.code {
            let part = parts.entry(instr.op.name().to_owned()).or_default();
            part.0 += 1;
            part.1 += costs.instr(instr).ps;
        }
        let whole: u64 = parts.values().map(|part| part.1).sum();
        let _ = writeln!(lines, "{} {:.3} ms", body.name, whole as f64 / PICO * 1e3);
        for (name, (count, ps)) in parts {
            let _ = writeln!(
                lines,
                "    {:>9.3} ms {count:>4} {name}",
                ps as f64 / PICO * 1e3
            );
        }
    }
    for (index, stage) in memory::stages(&costs).iter().enumerate() {
        let _ = writeln!(lines, "stage {index}: {stage:?}");
    }
    Ok(lines + &pleach_plan::text::write(&plan))
}
