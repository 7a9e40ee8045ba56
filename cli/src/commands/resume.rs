//! `pleach resume RUN_DIR`: goes on with a run from its last complete checkpoint, with the plan that stands in its folder or, where `--set`
//! says something of placement, machines, checkpoints or logs, with one that is made anew of the same experiment.

use std::path::PathBuf;

use pleach_plan::{Plan, json};
use pleach_storage::run::{RunFolder, RunLock};

use super::run::agreed;
use crate::anew::{self, Anew};
use crate::arguments::{Global, ResumeArguments};
use crate::attempt::{self, Run};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::launch::find;
use crate::machine::Machine;
use crate::resuming::Resuming;
use crate::screen::Screen;
use crate::{data, meaning, planfile, restart, weights};

/// A run that is there and locked, and how to go on with it.
#[derive(Debug)]
pub struct Going {
    /// Its folder.
    pub folder: RunFolder,
    /// The folder's lock.
    pub held: RunLock,
    /// The plan that stands in it.
    pub old: Plan,
    /// The plan to go on under, where it is another one.
    pub anew: Option<Anew>,
    /// End after so many steps of the run.
    pub steps: Option<u64>,
    /// How often it may go on by itself.
    pub restarts: u32,
    /// The folder in which data is looked up.
    pub data_from: PathBuf,
}

/// Goes on with a run.
pub fn resume(screen: &Screen, global: &Global, arguments: &ResumeArguments) -> Outcome<Exit> {
    let directory = &arguments.directory;
    if !directory.is_dir() {
        let missing = format!("there is no folder `{}`", directory.display());
        return Err(Failure::wish("pleach::run::missing", missing)
            .help("`pleach runs` lists the runs of this folder"));
    }
    let folder = RunFolder::open(directory).map_err(|error| attempt::run_failure(&error))?;
    let (held, old) = opened(&folder)?;
    let anew = match global.settings.is_empty() {
        true => None,
        false => Some(anew::plan(screen, global, &folder, &old)?),
    };
    let going = Going {
        data_from: anew::files_from(&folder),
        folder,
        held,
        old,
        anew,
        steps: arguments.steps,
        restarts: arguments.restarts,
    };
    go_on(screen, global, going)
}

/// Locks a run's folder and reads its plan.
pub fn opened(folder: &RunFolder) -> Outcome<(RunLock, Plan)> {
    let held = folder
        .lock()
        .map_err(|error| attempt::run_failure(&error))?;
    Ok((held, planfile::read(&folder.plan())?))
}

/// Goes on with a run: everything that can be refused is refused before its folder is touched.
pub fn go_on(screen: &Screen, global: &Global, going: Going) -> Outcome<Exit> {
    let Going { folder, old, .. } = &going;
    let other = going.anew.as_ref();
    let other = other.filter(|anew| anew::is_other(&anew.plan, old));
    let mut plan = other.map_or(old, |anew| &anew.plan).clone();
    if going.anew.is_none() {
        meaning::of_folder(screen, &plan, folder.path())?;
    }
    let runs_here = planfile::runs_here(&plan, &Machine::here());
    runs_here.map_err(|failure| anew::offering(failure, global, folder, old))?;
    let named = plan.clone();
    let resuming = Resuming::of(screen, folder, [old, &named])?;
    let last = going.steps.unwrap_or(u64::MAX).min(plan.run_steps());
    if resuming.done.is_some_and(|done| done >= last) {
        let shown = folder.path().display();
        screen.note(&format!("{shown} has done its {last} steps already"));
        return Ok(Exit::Fine);
    }
    screen.note(&resuming.screen());
    if other.is_some() && !agreed(screen, global, "Go on under this plan?") {
        screen.note("nothing was changed");
        return Ok(Exit::Fine);
    }
    find::worker()?;
    let weights = match resuming.done {
        Some(_) => None,
        None => weights::ready(screen, &mut plan, folder.path())?,
    };
    let data = data::prepare(screen, &mut plan, &going.data_from)?;
    replace(&going, other.is_some(), &plan)?;
    let (resume, resumed) = (resuming.done, Some(resuming.json()));
    drop(resuming);
    let run = Run {
        plan: &plan,
        data: &data,
        weights,
        resume,
        steps: going.steps,
        is_new: false,
        resumed,
        source: going.anew.and_then(|anew| anew.source),
        folder: going.folder,
    };
    restart::attempts(screen, run, going.restarts)
}

/// Puts the spec and the plan in their place that the run goes on under.
fn replace(going: &Going, is_other: bool, plan: &Plan) -> Outcome<()> {
    let Some(Anew { spec, .. }) = &going.anew else {
        return Ok(());
    };
    let (folder, held) = (&going.folder, &going.held);
    let replaced = match is_other {
        true => {
            let before = &going.old.hashes.placement;
            folder.replace_plan(held, before, (spec, &json::write(plan)))
        }
        false => folder.replace_spec(held, spec),
    };
    replaced.map_err(|error| attempt::run_failure(&error))
}
