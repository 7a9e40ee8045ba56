//! `pleach plan FILE`: what a spec would do and cost, on one screen or as one object. It writes only files it is told to.

use std::path::Path;

use pleach_plan::{json as plans, text};
use pleach_planner::cost::Costs;
use pleach_planner::graph::transformer::{self, Loss};
use pleach_planner::report::html::{self, Source};
use pleach_planner::report::why::{Answered, Explained};
use pleach_planner::report::{Report, screen as screens};
use pleach_planner::search::observe::{Measured, NoMeasurement, observe};
use pleach_planner::search::why::{self, Field, NoPin, Pin};
use pleach_planner::search::{self, Options};
use pleach_planner::{differentiate, graph, support, trace};
use pleach_storage::files;
use serde_json::json;

use crate::arguments::{Emit, Global, PlanArguments};
use crate::compile::{self, Planned};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::screen::Screen;
use crate::{data, lock, misfit, weights};

/// Plans, verifies and shows. A placement that does not fit is shown with its figures, and the exit code is 1.
pub fn plan(screen: &Screen, global: &Global, arguments: &PlanArguments) -> Outcome<Exit> {
    let planned = planned(screen, global, arguments)?;
    let focus = focus(&planned, arguments)?;
    if let (Some(part), None) = (&focus.experiment.train.part, &arguments.phase)
        && arguments.asks_of_a_phase()
    {
        let name = &part.name;
        screen.note(&format!(
            "the answer is about the phase {name}; --phase asks about another"
        ));
    }
    let asked = Asked::of(focus, arguments)?;
    let verified = planned.verified()?;
    if let Some(path) = &arguments.out {
        write(path, &plans::write(&verified))?;
        screen.note(&format!("plan written to {}", path.display()));
    }
    if let Some(path) = &arguments.trace {
        write(path, &traced(focus)?)?;
        screen.note(&format!(
            "trace written to {} (open it in ui.perfetto.dev)",
            path.display()
        ));
    }
    if let Some(path) = &arguments.report {
        write(path, &page(focus)?)?;
        screen.note(&format!("report written to {}", path.display()));
    }
    show(screen, arguments, [&planned, focus], &asked);
    if support::is_run(&planned.experiment, &planned.hardware) {
        data::tell_order(screen, &verified, lock::folder(&arguments.file));
    }
    misfit::judge(&planned).map_or(Ok(Exit::Fine), Err)
}

/// The answer, searched as it was asked for, and once more with what was measured of it.
fn planned(screen: &Screen, global: &Global, arguments: &PlanArguments) -> Outcome<Planned> {
    let (file, top) = (&arguments.file, arguments.top);
    let measured = arguments.observed.iter().map(|text| Measured::parse(text));
    let measured: Vec<Measured> = measured
        .collect::<Result<_, _>>()
        .map_err(|error| unmeasured(&error))?;
    let way = if arguments.exhaustive {
        search::exhaustive
    } else {
        search::plan
    };
    let experiment = compile::experiment(screen, global, file)?;
    compile::supported(&experiment)?;
    weights::agree(screen, &experiment, lock::folder(file))?;
    let hardware = compile::table(screen, &experiment, lock::folder(file))?;
    let planned = compile::plan_by(way, file, experiment.clone(), hardware, top)?;
    if measured.is_empty() {
        return Ok(planned);
    }
    let focus = focus(&planned, arguments)?;
    let chosen = &focus.answer.chosen;
    let hardware = observe(&focus.settled(), &focus.hardware, chosen, &measured);
    let hardware = hardware.map_err(|error| unmeasured(&error))?;
    compile::plan_by(way, file, experiment, hardware, top)
}

fn unmeasured(error: &NoMeasurement) -> Failure {
    Failure::wish("pleach::plan::observed", error.to_string())
}

/// The phase that is asked about.
fn focus<'p>(planned: &'p Planned, arguments: &PlanArguments) -> Outcome<&'p Planned> {
    let Some(wanted) = &arguments.phase else {
        return Ok(planned);
    };
    let found = planned.phases().find(|phase| phase.name() == Some(wanted));
    found.ok_or_else(|| {
        let names: Vec<&str> = planned.phases().filter_map(Planned::name).collect();
        let failure = Failure::wish(
            "pleach::plan::question",
            format!("the run has no phase `{wanted}`"),
        );
        failure.help(match names.as_slice() {
            [] => "it has no phases: leave --phase out".to_owned(),
            names => format!("its phases are `{}`", names.join("`, `")),
        })
    })
}

/// Shows a plan; the second one is the phase that was asked about.
fn show(
    screen: &Screen,
    arguments: &PlanArguments,
    [planned, focus]: [&Planned; 2],
    asked: &Asked,
) {
    let report = report(planned);
    let each = |text: fn(&Planned) -> String| {
        for (number, phase) in planned.phases().enumerate() {
            screen.data(&headed(planned, number, &text(phase)));
        }
    };
    match arguments.emit {
        Some(Emit::Graph) => each(graphs),
        Some(Emit::Program) => each(|phase| text::write(&phase.answer.chosen.plan)),
        Some(Emit::Placement) => screen.data_json(&json!(alone(focus).placement)),
        None if screen.json => {
            let mut object = json!(report);
            if let Some(why) = &asked.why {
                object["why"] = json!(why);
            }
            if let Some(why_not) = &asked.why_not {
                object["why_not"] = json!(why_not);
            }
            screen.data_json(&object);
        }
        None if arguments.memory => each(|phase| screens::memory_screen(&alone(phase))),
        None => screen.data(&shown(planned)),
    }
    if screen.json || arguments.emit.is_some() {
        return;
    }
    let told = [
        asked.why.as_ref().map(Explained::screen),
        asked.why_not.as_ref().map(Answered::screen),
    ];
    for text in told.into_iter().flatten() {
        screen.data(&format!("\n{}", text.trim_end()));
    }
}

/// What was asked about the answer, and what there is to say.
struct Asked {
    why: Option<Explained>,
    why_not: Option<Answered>,
}

impl Asked {
    fn of(planned: &Planned, arguments: &PlanArguments) -> Outcome<Self> {
        let why = arguments.why.as_deref().map(|field| ask(planned, field));
        let why_not = arguments.why_not.as_deref();
        let why_not = why_not.map(|question| ask_not(planned, question));
        Ok(Self {
            why: why.transpose()?,
            why_not: why_not.transpose()?,
        })
    }
}

fn no_question(error: &NoPin) -> Failure {
    Failure::wish("pleach::plan::question", error.to_string())
}

fn ask(planned: &Planned, field: &str) -> Outcome<Explained> {
    let field = Field::parse(field).map_err(|error| no_question(&error))?;
    let (experiment, hardware, answer) = (&planned.experiment, &planned.hardware, &planned.answer);
    let why = why::why(experiment, hardware, answer, field);
    Ok(Explained::of(experiment, hardware, &answer.chosen, &why))
}

fn ask_not(planned: &Planned, question: &str) -> Outcome<Answered> {
    let pins = Pin::parse_all(question).map_err(|error| no_question(&error))?;
    let (experiment, hardware, answer) = (&planned.experiment, &planned.hardware, &planned.answer);
    let tried = why::why_not(experiment, hardware, answer, &pins);
    Ok(Answered::of(hardware, &answer.chosen, &tried))
}

/// The report of an answer, of all its phases.
pub fn report(planned: &Planned) -> Report {
    let phases = planned
        .phases()
        .filter_map(|it| Some((it.name()?.to_owned(), alone(it))));
    Report::of_phases(phases.collect()).unwrap_or_else(|| alone(planned))
}

/// The report of one phase.
fn alone(planned: &Planned) -> Report {
    Report::new(
        &planned.experiment,
        &planned.hardware,
        &planned.answer,
        planned.seconds,
    )
}

/// The plan on the screen: of a run of phases one below the other, and what all of them take.
pub fn shown(planned: &Planned) -> String {
    let phases = planned.phases().enumerate();
    let screen = |(number, phase): (usize, &Planned)| {
        headed(planned, number, screens::screen(&alone(phase)).trim_end())
    };
    let mut all: Vec<String> = phases.map(screen).collect();
    if !planned.then.is_empty() {
        all.push(format!(
            "All phases: {}",
            screens::run_line(&report(planned).run)
        ));
    }
    all.join("\n\n")
}

/// A text about a phase below a line that names it; without phases as it is.
fn headed(planned: &Planned, number: usize, text: &str) -> String {
    let phases = planned.then.len() + 1;
    let part = planned.phases().nth(number);
    match part.and_then(|phase| phase.experiment.train.part.as_ref()) {
        Some(part) => format!("Phase {} of {phases}: {}\n\n{text}", number + 1, part.name),
        None => text.to_owned(),
    }
}

/// The differentiated graph of the model, one block after the other.
fn graphs(planned: &Planned) -> String {
    let experiment = &planned.experiment;
    let micro_batch = planned.answer.chosen.placement.micro_batch;
    let loss = Loss::of(experiment);
    let model =
        differentiate::differentiate(transformer::lower(&experiment.model, micro_batch, loss));
    let block =
        |(block, times): (&graph::Block, u64)| format!("# {times} times\n{}", graph::text(block));
    let blocks: Vec<String> = model.blocks().into_iter().map(block).collect();
    blocks.join("\n")
}

fn traced(planned: &Planned) -> Outcome<String> {
    let costs = Costs::new(
        &planned.answer.chosen.plan,
        &planned.hardware,
        &planned.experiment.cluster,
    );
    let trace = trace::trace(&costs)
        .map_err(|stuck| Failure::machine("pleach::fault::stuck", stuck.to_string()))?;
    Ok(serde_json::to_string(&trace).expect("a trace holds only names and finite numbers"))
}

/// Points of the report's plot.
const POINTS: usize = 60;

/// The plan as one page. Its plot shows more runners-up than the screen, so they are searched for once more.
fn page(planned: &Planned) -> Outcome<String> {
    let (experiment, hardware) = (&planned.experiment, &planned.hardware);
    let wide = search::plan(
        experiment,
        hardware,
        Options {
            alternatives: POINTS,
        },
    );
    let mut report = alone(planned);
    if let Ok(wide) = wide {
        let all = Report::new(experiment, hardware, &wide, 0.0);
        report.alternatives = all.alternatives;
    }
    let chosen = &planned.answer.chosen;
    let costs = Costs::new(&chosen.plan, hardware, &experiment.cluster);
    let spec = std::fs::read_to_string(&planned.spec)
        .map_err(|error| Failure::reading(&planned.spec, &error))?;
    let source = Source {
        report: &report,
        costs: &costs,
        chosen,
        gpus_per_node: experiment.cluster.gpus_per_node,
        spec: &spec,
    };
    html::page(&source).map_err(|stuck| Failure::machine("pleach::fault::stuck", stuck.to_string()))
}

/// Replaces a file whole; what is no file (a terminal, a pipe) is written to as it is, and a link stays a link.
fn write(path: &Path, text: &str) -> Outcome<()> {
    let real = path.canonicalize();
    let real = real.as_deref().unwrap_or(path);
    if real.metadata().is_ok_and(|there| !there.is_file()) {
        return std::fs::write(real, text).map_err(|error| Failure::writing(path, &error));
    }
    files::replace(real, text.as_bytes()).map_err(|error| {
        Failure::machine(
            "pleach::file::write",
            format!(
                "`{}` could not be written: {}",
                path.display(),
                error.source
            ),
        )
        .help("the folder must exist, be writable and have room; nothing was changed")
    })
}
