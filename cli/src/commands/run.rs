//! `pleach run FILE|PLAN.json`: from a spec it plans, shows, asks and runs; from a plan file it runs exactly that plan.
//!
//! Whatever can be refused is refused before a folder is made: the plan's hash, structure and meaning, the data, the memory of
//! this machine, the worker. With `--resume` the run of this plan goes on, or else the latest of the experiment under this plan.

use std::path::{Path, PathBuf};

use pleach_plan::{Plan, json};
use pleach_storage::run::RunFolder;

use super::resume::{self, Going};
use super::{plan as planning, runs};
use crate::anew::{self, Anew};
use crate::arguments::{Global, RunArguments};
use crate::attempt::{self, Run};
use crate::compile;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::launch::find;
use crate::machine::Machine;
use crate::screen::Screen;
use crate::{data, lock, meaning, misfit, planfile, restart, weights};

/// Runs a spec or a plan.
pub fn run(screen: &Screen, global: &Global, arguments: &RunArguments) -> Outcome<Exit> {
    let file = &arguments.file;
    let from_plan = file
        .extension()
        .is_some_and(|extension| extension == "json");
    let settled = from_plan && arguments.spec.is_none();
    refuse_settings(global, settled)?;
    if arguments.spec.is_some() && !from_plan {
        return Err(Failure::wish(
            "pleach::command_line",
            "`--spec` names the spec of a plan file, but a spec is to be run",
        )
        .help("`pleach run PLAN.json --spec FILE`, or without `--spec`"));
    }
    let (plan, spec) = if from_plan {
        from_file(screen, global, arguments)?
    } else {
        (from_spec(screen, global, file)?, spec_text(global, file)?)
    };
    planfile::structure(&plan)?;
    planfile::runs_here(&plan, &Machine::here())?;
    find::worker()?;
    if arguments.resume {
        if let Some(folder) = known(&plan)? {
            return go_on(screen, global, arguments, (folder, plan, spec));
        }
        screen.note("there is no run of this experiment yet; it begins");
    }
    let name = RunFolder::name(&plan.experiment, &plan.hashes.placement);
    refuse_existing(&Path::new(runs::FOLDER).join(&name))?;
    if !from_plan && !agreed(screen, global, "Run this plan?") {
        screen.note("nothing was run");
        return Ok(Exit::Fine);
    }
    begin(screen, global, arguments, (plan, &name), &spec)
}

/// Goes on with a run of the same experiment, under this plan.
fn go_on(
    screen: &Screen,
    global: &Global,
    arguments: &RunArguments,
    (folder, mut plan, spec): (RunFolder, Plan, String),
) -> Outcome<Exit> {
    let source = arguments.spec.as_ref().unwrap_or(&arguments.file);
    let (held, old) = resume::opened(&folder)?;
    let is_other = anew::is_other(&plan, &old);
    if is_other {
        screen.note(&format!(
            "{} is a run of the same experiment under another plan; it goes on under this one",
            folder.path().display()
        ));
        anew::carry(&old, &mut plan);
    }
    let anew = is_other.then(|| Anew {
        plan,
        spec,
        source: source.canonicalize().ok(),
    });
    let going = Going {
        folder,
        held,
        old,
        anew,
        steps: arguments.steps,
        restarts: arguments.restarts,
        data_from: folder_of(source),
    };
    resume::go_on(screen, global, going)
}

/// Prepares the data, makes the folder, launches.
fn begin(
    screen: &Screen,
    global: &Global,
    arguments: &RunArguments,
    (mut plan, name): (Plan, &str),
    spec: &str,
) -> Outcome<Exit> {
    let source = arguments.spec.as_ref().unwrap_or(&arguments.file);
    let weights = weights::ready(screen, &mut plan, &folder_of(source))?;
    let data = data::prepare(screen, &mut plan, &folder_of(source))?;
    if source.extension().is_some_and(|ending| ending == "pleach") {
        // What was fetched just now is held against the lockfile too.
        compile::held(global, source)?;
    }
    let folder = RunFolder::create(Path::new(runs::FOLDER), name, spec, &json::write(&plan))
        .map_err(|error| attempt::run_failure(&error))?;
    weights::remember(folder.path(), weights.as_ref())?;
    screen.note(&format!("running in {}", folder.path().display()));
    let _held = folder
        .lock()
        .map_err(|error| attempt::run_failure(&error))?;
    let run = Run {
        source: source.canonicalize().ok(),
        folder,
        plan: &plan,
        data: &data,
        weights,
        resume: None,
        steps: arguments.steps,
        is_new: true,
        resumed: None,
    };
    restart::attempts(screen, run, arguments.restarts)
}

/// Plans a spec, shows the plan, and refuses what cannot be run on this machine.
fn from_spec(screen: &Screen, global: &Global, file: &Path) -> Outcome<Plan> {
    let planned = compile::plan(screen, global, file, 3)?;
    screen.note(&planning::shown(&planned));
    if let Some(failure) = misfit::judge(&planned) {
        return Err(failure);
    }
    anew::runs_here(&planned)?;
    planned.verified()
}

/// Reads a plan file and verifies it against its spec: the one that is named, or the one beside it in a run's folder.
fn from_file(
    screen: &Screen,
    global: &Global,
    arguments: &RunArguments,
) -> Outcome<(Plan, String)> {
    let file = &arguments.file;
    let plan = planfile::read(file)?;
    let text = match &arguments.spec {
        Some(spec) => {
            meaning::of_named(screen, global, &plan, spec)?;
            spec_text(global, spec)?
        }
        None => {
            let folder = folder_of(file);
            meaning::of_folder(screen, &plan, &folder)?;
            std::fs::read_to_string(folder.join("spec.pleach"))
                .unwrap_or_else(|_| format!("# run from the plan file {}\n", file.display()))
        }
    };
    Ok((plan, text))
}

/// What is settled cannot be changed by `--set`, which must not be passed over in silence.
pub fn refuse_settings(global: &Global, settled: bool) -> Outcome<()> {
    match global.settings.first().filter(|_| settled) {
        Some(setting) => Err(Failure::wish(
            "pleach::command_line",
            format!(
                "`--set {}` changes a spec, but a plan is run as it stands",
                setting.path
            ),
        )
        .help("set it when planning: `pleach plan FILE --set … --out PLAN.json`")),
        None => Ok(()),
    }
}

/// The spec's text as it was run, with what the command line replaced.
fn spec_text(global: &Global, file: &Path) -> Outcome<String> {
    let text = std::fs::read_to_string(file).map_err(|error| Failure::reading(file, &error))?;
    Ok(meaning::with_settings(&text, &global.settings))
}

/// Asks where somebody can answer.
pub fn agreed(screen: &Screen, global: &Global, question: &str) -> bool {
    if global.yes {
        return true;
    }
    if screen.can_ask() {
        return screen.ask(question);
    }
    screen.note("this is not a terminal, so the plan is run without asking");
    true
}

/// The run to go on with: the latest of this very plan, or else of the same experiment.
fn known(plan: &Plan) -> Outcome<Option<RunFolder>> {
    let own = RunFolder::name(&plan.experiment, &plan.hashes.placement);
    let rank = |folder: &RunFolder| {
        let is_named_so = folder.path().file_name().is_some_and(|name| *name == *own);
        let record = folder.read_record().ok().flatten();
        let Some(record) = record else {
            return is_named_so.then_some((true, 0));
        };
        let same = record.experiment_hash == plan.hashes.experiment;
        let is_own = record.placement_hash == plan.hashes.placement;
        let began = record.attempts.last().map_or(0, |attempt| attempt.began);
        same.then_some((is_own, began))
    };
    let all = runs::folders(Path::new(runs::FOLDER))?.into_iter();
    let ranked = all.filter_map(|folder| Some((rank(&folder)?, folder)));
    let best = ranked.max_by_key(|(rank, _)| *rank);
    Ok(best.map(|(_, folder)| folder))
}

/// Before anything is prepared, because preparing takes time.
fn refuse_existing(path: &Path) -> Outcome<()> {
    if !path.exists() {
        return Ok(());
    }
    let shown = path.display();
    Err(Failure::wish(
        "pleach::run::exists",
        format!("`{shown}` is there already: this plan was run before"),
    )
    .help(format!(
        "`pleach resume {shown}` goes on with it; move it away to begin again"
    )))
}

fn folder_of(file: &Path) -> PathBuf {
    lock::folder(file).to_owned()
}
