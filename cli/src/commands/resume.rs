//! `pleach resume RUN_DIR`: goes on with a run from its last complete checkpoint, with the plan that stands in its folder.

use std::path::Path;

use pleach_storage::run::RunFolder;

use super::run::refuse_settings;
use crate::arguments::{Global, ResumeArguments};
use crate::attempt::{self, Run};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::machine::Machine;
use crate::screen::{Screen, figures};
use crate::{data, meaning, planfile, restart, weights};

/// Goes on with a run.
pub fn resume(screen: &Screen, global: &Global, arguments: &ResumeArguments) -> Outcome<Exit> {
    refuse_settings(global, true)?;
    let directory = &arguments.directory;
    if !directory.is_dir() {
        let missing = format!("there is no folder `{}`", directory.display());
        return Err(Failure::wish("pleach::run::missing", missing)
            .help("`pleach runs` lists the runs of this folder"));
    }
    let folder = RunFolder::open(directory).map_err(|error| attempt::run_failure(&error))?;
    go_on(
        screen,
        folder,
        (arguments.steps, arguments.restarts),
        directory,
    )
}

/// Goes on with the run in `folder`; its data is looked up from `data_from`.
pub fn go_on(
    screen: &Screen,
    folder: RunFolder,
    (steps, restarts): (Option<u64>, u32),
    data_from: &Path,
) -> Outcome<Exit> {
    let mut plan = planfile::read(&folder.plan())?;
    meaning::of_folder(screen, &plan, folder.path())?;
    planfile::runs_here(&plan, &Machine::here())?;
    let done = attempt::newest(screen, &folder, &plan)?.map(|checkpoint| checkpoint.manifest.step);
    let last = steps.unwrap_or(u64::MAX).min(plan.run_steps());
    match done {
        Some(step) if step >= last => {
            screen.note(&format!(
                "{} has done its {last} steps already",
                folder.path().display()
            ));
            return Ok(Exit::Fine);
        }
        Some(step) => {
            let phase = plan.phases().nth(plan.phase_after(step)).unwrap_or(&plan);
            let sample = figures::count(phase.training.phase_samples(step));
            let name = phase.training.phase.as_deref();
            let of_phase = name.map_or_else(String::new, |name| format!(" of phase `{name}`"));
            screen.note(&format!(
                "going on after step {step}; the next sample is number {sample}{of_phase}"
            ));
        }
        None => screen.note("there is no complete checkpoint yet; the run begins again"),
    }
    let weights = match done {
        Some(_) => None,
        None => weights::ready(screen, &mut plan, data_from)?,
    };
    let data = data::prepare(screen, &mut plan, data_from)?;
    let run = Run {
        folder,
        plan: &plan,
        data: &data,
        weights,
        resume: done,
        steps,
        is_new: false,
    };
    restart::attempts(screen, run, restarts)
}
