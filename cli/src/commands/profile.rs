//! `pleach profile RUN_DIR`: what the instructions of a run took, beside what its plan says they take; collectives apart.
//!
//! The plan is priced anew with the table of its machine, the ranks' figures lie in `measured/`. Both are summed over all calls of a step.
//! A collective waits for the slowest of its ranks, so its shortest call says most about the link.

use std::collections::BTreeMap;
use std::fs;

use pleach_plan::measured::{Instruction, Measured};
use pleach_plan::trace::{Stream, Trace};
use pleach_plan::{Body, Plan};
use pleach_planner::cost::Costs;
use pleach_planner::trace;
use pleach_storage::run::RunFolder;
use serde_json::{Value, json};

use crate::anew;
use crate::arguments::{Global, ProfileArguments};
use crate::attempt;
use crate::compile;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::meaning;
use crate::planfile;
use crate::screen::{Screen, figures, table};

/// One operation, or one collective, over all ranks.
#[derive(Clone, Debug, Default)]
struct Row {
    /// Its name, and of a collective the group and bytes.
    name: [String; 3],
    /// Calls of a step on all ranks together.
    calls: f64,
    /// Seconds of a step that the plan says, over all ranks.
    planned: f64,
    /// Seconds of a step that it took.
    measured: f64,
    /// The shortest call.
    shortest: f64,
}

/// What a plan says: seconds of a step by stage, body, index and name.
type Predicted = BTreeMap<(u32, String, Option<usize>, String), f64>;

/// Reads, prices, and shows.
pub fn profile(screen: &Screen, global: &Global, arguments: &ProfileArguments) -> Outcome<Exit> {
    let folder =
        RunFolder::open(&arguments.directory).map_err(|error| attempt::run_failure(&error))?;
    let run = planfile::read(&folder.plan())?;
    let measured = measured(&folder, &run)?;
    let silent: Vec<String> = missing(&measured, run.mesh.ranks());
    if !silent.is_empty() {
        screen.note(&format!("no figures of rank {}", silent.join(", ")));
    }
    let phase = measured.iter().map(|own| own.phase).max().unwrap_or(0);
    let plan = run.phases().nth(phase).unwrap_or(&run);
    let experiment = match meaning::beside(&run, &folder.spec()) {
        Some(experiment) => experiment,
        None => compile::experiment(screen, global, &folder.spec())?,
    };
    let hardware = compile::table(screen, &experiment, &anew::files_from(&folder))?;
    let costs = Costs::new(plan, &hardware, &experiment.cluster);
    let trace = trace::trace(&costs)
        .map_err(|stuck| Failure::machine("pleach::fault::stuck", stuck.to_string()))?;
    let predicted = predicted(&trace);
    let [operations, collectives] = rows(plan, &predicted, &measured);
    if screen.json {
        screen.data_json(&json!({
            "phase": plan.training.phase,
            "steps": measured.iter().map(|own| own.steps).max(),
            "operations": operations.iter().map(said).collect::<Vec<_>>(),
            "collectives": collectives.iter().map(said).collect::<Vec<_>>(),
            "ranks": measured,
        }));
        return Ok(Exit::Fine);
    }
    if let Some(name) = plan.training.phase.as_deref() {
        screen.data(&format!("phase `{name}`, the last that was trained"));
    }
    show(screen, &measured, &operations, &collectives);
    Ok(Exit::Fine)
}

fn said(row: &Row) -> Value {
    let [name, group, bytes] = &row.name;
    json!({
        "name": name, "group": group, "bytes": bytes.parse::<u64>().ok(), "calls": row.calls,
        "planned_s": row.planned, "measured_s": row.measured, "shortest_s": row.shortest,
    })
}

/// The ranks that have left no figures.
fn missing(measured: &[Measured], ranks: u32) -> Vec<String> {
    let left = |rank: &u32| measured.iter().any(|own| own.rank == *rank);
    let silent = (0..ranks).filter(|rank| !left(rank));
    silent.map(|rank| rank.to_string()).collect()
}

/// What every rank measured last under the run's placement.
fn measured(folder: &RunFolder, run: &Plan) -> Outcome<Vec<Measured>> {
    let ranks = run.phases().map(|phase| phase.mesh.ranks()).max();
    let is_of_run = |own: &Measured| {
        let phase = run.phases().nth(own.phase);
        phase.is_some_and(|phase| phase.hashes.placement == own.placement)
    };
    let place = folder.path().join("measured");
    let mut all = Vec::new();
    for rank in 0..ranks.unwrap_or(0) {
        let path = place.join(format!("rank-{rank}.json"));
        if !path.exists() {
            continue;
        }
        let text = fs::read_to_string(&path).map_err(|error| Failure::reading(&path, &error))?;
        let own: Measured = serde_json::from_str(&text).map_err(|error| {
            Failure::machine(
                "pleach::profile::file",
                format!("`{}` cannot be read: {error}", path.display()),
            )
            .help("delete it; an attempt that comes to its end writes it anew")
        })?;
        all.extend(Some(own).filter(is_of_run));
    }
    if all.iter().any(|own| own.steps > 0) {
        return Ok(all);
    }
    let shown = folder.path().display();
    Err(Failure::wish(
        "pleach::profile::nothing",
        format!("`{shown}` has no measured instructions"),
    )
    .help("an attempt leaves them when it ends after two steps or more, also when it is asked to stop; figures of another placement do not count"))
}

fn predicted(trace: &Trace) -> Predicted {
    let mut all = Predicted::new();
    for event in trace.events.iter().filter(|event| event.ph == "X") {
        let transfer = event.tid == Stream::Transfer as u32;
        let (body, index) = match transfer {
            true => (String::new(), None),
            false => (event.cat.clone(), event.args.instruction),
        };
        let key = (event.pid, body, index, event.name.clone());
        *all.entry(key).or_default() += event.dur * 1e-6;
    }
    all
}

/// Operations by name, and collectives with transfers by group and size; largest first.
fn rows(plan: &Plan, predicted: &Predicted, measured: &[Measured]) -> [Vec<Row>; 2] {
    let mut all = [const { BTreeMap::<[String; 3], Row>::new() }; 2];
    for own in measured.iter().filter(|own| own.steps > 0) {
        let stage = plan.mesh.place(own.rank).pp;
        for instruction in &own.instructions {
            let (talks, name) = name(plan, instruction);
            let row = all[usize::from(talks)]
                .entry(name.clone())
                .or_insert_with(|| Row {
                    name,
                    shortest: f64::INFINITY,
                    ..Row::default()
                });
            let steps = own.steps as f64;
            row.calls += instruction.calls as f64 / steps;
            row.measured += instruction.seconds / steps;
            row.shortest = row.shortest.min(instruction.shortest);
            // Of a transfer the plan says one span, which lies behind its end: where it is waited for.
            let (body, index) = match (instruction.index, &*instruction.body) {
                (None, "begin") => continue,
                (None, _) => (String::new(), None),
                (index, body) => (body.to_owned(), index),
            };
            let key = (stage, body, index, instruction.name.clone());
            row.planned += predicted.get(&key).copied().unwrap_or(0.0);
        }
    }
    all.map(|rows| {
        let mut rows: Vec<Row> = rows.into_values().collect();
        rows.sort_by(|a, b| b.measured.total_cmp(&a.measured));
        rows
    })
}

/// Whether an instruction talks to other ranks, and what it is called: of a collective with its group and bytes.
fn name(plan: &Plan, instruction: &Instruction) -> (bool, [String; 3]) {
    let plain = [instruction.name.clone(), String::new(), String::new()];
    let Some(index) = instruction.index else {
        let what = format!("{} {}", instruction.body, instruction.name);
        return (true, [what, "stages".to_owned(), String::new()]);
    };
    let body: Option<&Body> = plan
        .bodies
        .iter()
        .find(|body| body.name == instruction.body);
    let Some(instr) = body.and_then(|body| body.code.get(index)) else {
        return (false, plain);
    };
    let Some(group) = instr.op.group() else {
        return (false, plain);
    };
    let group = plan.groups.get(group.0 as usize);
    let moved = instr.ins.iter().chain(&instr.updates).chain(&instr.outs);
    let bytes = moved.map(|id| {
        let tensor = &plan.tensors[id.0 as usize];
        tensor.elements() * tensor.dtype.bytes()
    });
    let bytes = bytes.max().unwrap_or(0).to_string();
    let group = group.map_or_else(String::new, |group| group.name.clone());
    (true, [instruction.name.clone(), group, bytes])
}

fn show(screen: &Screen, measured: &[Measured], operations: &[Row], collectives: &[Row]) {
    let ranks = measured.len() as f64;
    let steps = measured.iter().map(|own| own.steps).max().unwrap_or(0);
    let total: f64 = operations
        .iter()
        .chain(collectives)
        .map(|row| row.measured)
        .sum();
    screen.data(&format!(
        "{steps} steps on {ranks} ranks; times of a step, as the mean of the ranks\n"
    ));
    let common = |row: &Row| {
        vec![
            format!("{:.0}", row.calls / ranks),
            figures::seconds(row.planned / ranks),
            figures::seconds(row.measured / ranks),
            ratio(row),
            format!("{:.1} %", 100.0 * row.measured / total),
        ]
    };
    let cells = operations
        .iter()
        .map(|row| [vec![row.name[0].clone()], common(row)].concat());
    let header = [
        "operation",
        "calls",
        "planned",
        "measured",
        "ratio",
        "share",
    ];
    screen.data(&table::table(&header, cells.collect(), 1));
    if collectives.is_empty() {
        return;
    }
    let cells = collectives.iter().map(|row| {
        let bytes = row.name[2]
            .parse()
            .map_or_else(|_| String::new(), figures::bytes);
        let own = vec![row.name[0].clone(), row.name[1].clone(), bytes];
        [own, common(row), vec![figures::seconds(row.shortest)]].concat()
    });
    let header = [
        "communication",
        "group",
        "bytes",
        "calls",
        "planned",
        "measured",
        "ratio",
        "share",
        "shortest",
    ];
    screen.data(&format!("\n{}", table::table(&header, cells.collect(), 2)));
    screen.data("\nwhat is measured of communication holds the wait for the slowest rank; the shortest call waits least");
}

/// What it took over what the plan says.
fn ratio(row: &Row) -> String {
    match row.planned > 0.0 {
        true => format!("{:.2}", row.measured / row.planned),
        false => String::new(),
    }
}
