//! Another plan for a run that is there: in come its folder and settings, out comes the plan that it goes on under, or why it cannot.
//!
//! The spec that stands in the folder is read with the settings that were noted below it, and again with the new ones laid over them.
//! Both must be the same experiment; what was trained on stays what it was, so the data's identity goes from plan to plan.

use std::path::{Path, PathBuf};

use pleach_dsl::{Change, Loaded, Part, changes};
use pleach_plan::hardware::Kind;
use pleach_plan::{DataPlan, Plan};
use pleach_storage::run::RunFolder;

use crate::arguments::{Global, LogFormat, Setting};
use crate::compile::{self, Planned};
use crate::failure::{Failure, Outcome};
use crate::machine::Machine;
use crate::screen::Screen;
use crate::{lock, meaning, misfit, planfile, shell};

/// Differences that are listed.
const SHOWN: usize = 12;

/// What a run goes on under.
#[derive(Debug)]
pub struct Anew {
    /// The plan.
    pub plan: Plan,
    /// The text of its spec, as a run's folder keeps it.
    pub spec: String,
    /// Where that was read, where it was outside of the folder.
    pub source: Option<PathBuf>,
}

/// The spec of a run, as it was run and with more settings.
struct Sides {
    before: Loaded,
    after: Loaded,
    /// The spec's text and all settings that the second one has.
    text: String,
    settings: Vec<Setting>,
}

/// Plans a run's spec again with the settings of the command line.
pub fn plan(screen: &Screen, global: &Global, folder: &RunFolder, old: &Plan) -> Outcome<Anew> {
    let sides = sides(global, folder, old, &global.settings)?;
    if sides.after.hash.is_some() && sides.after.hash != sides.before.hash {
        return Err(other(folder, &sides));
    }
    let (experiment, warnings) = sides
        .after
        .into_result()
        .map_err(|problems| Failure::problems(vec![problems]))?;
    screen.warn_of(&warnings);
    let hardware = compile::table(screen, &experiment, &files_from(folder))?;
    let planned = compile::plan_on(&folder.spec(), experiment, hardware, 0)?;
    if let Some(failure) = misfit::judge(&planned) {
        return Err(failure);
    }
    runs_here(&planned)?;
    let mut plan = planned.verified()?;
    planfile::structure(&plan)?;
    carry(old, &mut plan);
    Ok(Anew {
        plan,
        spec: meaning::with_settings(&sides.text, &sides.settings),
        source: None,
    })
}

/// Whether a run that goes on under a plan leaves the one that it has: the program is another, or what computes it.
pub fn is_other(plan: &Plan, old: &Plan) -> bool {
    let device = |plan: &Plan| plan.prediction.as_ref().map(|own| own.device);
    plan.hashes.placement != old.hashes.placement || device(plan) != device(old)
}

/// Refuses a plan for machines that are not here.
pub fn runs_here(planned: &Planned) -> Outcome<()> {
    let cluster = &planned.experiment.cluster;
    if planned.hardware.kind.is_cpu() || has_gpus(planned) {
        return Ok(());
    }
    let (ranks, device) = (cluster.gpus(), &cluster.device);
    let message = format!("this plan is for {ranks} x {device}, not for here");
    Err(Failure::wish("pleach::run::elsewhere", message).help(
        "`cluster = this_machine { gpus_per_node = 2 }` runs the experiment on this machine's processor",
    ))
}

/// Whether a plan is for GPUs of one machine and this machine has a driver for some; which ones, the workers find out. `PLEACH_DEVICE`
/// says that somebody wants it all the same.
fn has_gpus(planned: &Planned) -> bool {
    let one = planned.experiment.cluster.nodes == 1;
    let for_gpus = planned.hardware.kind == Kind::Gpu;
    for_gpus && one && (Machine::has_driver() || Machine::is_told_its_device())
}

/// What is known of the data and the weights of a run, for another plan of the same experiment.
pub fn carry(old: &Plan, plan: &mut Plan) {
    let known = |own: &mut DataPlan, of: &DataPlan| {
        own.order.clone_from(&of.order);
        for component in &mut own.mix {
            let same = of.mix.iter().find(|other| other.name == component.name);
            component.fingerprint = same.and_then(|other| other.fingerprint.clone());
        }
    };
    known(&mut plan.data, &old.data);
    for (phase, of) in plan.then.iter_mut().zip(&old.then) {
        known(&mut phase.data, &of.data);
    }
    if let (Some(own), Some(of)) = (&mut plan.training.weights, &old.training.weights) {
        own.fingerprint.clone_from(&of.fingerprint);
    }
}

/// Reads the spec of a folder as it was run and with more settings, of which the later one of a path holds.
fn sides(global: &Global, folder: &RunFolder, old: &Plan, more: &[Setting]) -> Outcome<Sides> {
    let file = folder.spec();
    let whole = std::fs::read_to_string(&file).map_err(|error| unread(folder, &error))?;
    let (text, noted) = meaning::parted(&whole);
    let settings = with(more.to_vec(), &noted);
    let load = |settings: &[Setting]| {
        let global = Global {
            settings: settings.to_vec(),
            ..global.clone()
        };
        compile::load(&meaning::chosen(&global, old), &file)
    };
    let before = load(&noted)?;
    if before.hash.as_ref() != Some(&old.hashes.experiment) {
        return Err(unreadable(folder, before, &settings));
    }
    Ok(Sides {
        before,
        after: load(&settings)?,
        text: text.to_owned(),
        settings,
    })
}

/// The spec of a folder does not say its experiment any more.
fn unreadable(folder: &RunFolder, before: Loaded, settings: &[Setting]) -> Failure {
    let message = format!(
        "`{}` cannot be read as the experiment of this run",
        folder.spec().display()
    );
    let why = match before.hash {
        Some(_) => vec!["it is another experiment than its plan's: it was changed".to_owned()],
        None => before.problems.iter().map(|it| it.title.clone()).collect(),
    };
    let detailed = Failure::wish("pleach::run::spec", message).detail(why.join("\n"));
    detailed.help(from_source(folder, settings))
}

/// The spec of a folder is not there, or cannot be opened.
fn unread(folder: &RunFolder, error: &std::io::Error) -> Failure {
    let message = format!("`{}` cannot be read: {error}", folder.spec().display());
    Failure::wish("pleach::run::spec", message).help(from_source(folder, &[]))
}

/// The command that goes on with a run from its spec where that was, with all that was set then and now.
fn from_source(folder: &RunFolder, settings: &[Setting]) -> String {
    let source = source(folder);
    let file = source.as_deref().unwrap_or("FILE");
    let command = shell::line(&["pleach", "run", file, "--resume"], settings);
    let more = match settings.is_empty() {
        true => ", with the `--set` that the run began with",
        false => "",
    };
    format!(
        "`{command}`{more} goes on with this run from the spec where it was (what that imports does not lie in a run's folder)"
    )
}

/// The refusal of settings that make another experiment: what differs, and the command that begins it.
fn other(folder: &RunFolder, sides: &Sides) -> Failure {
    let changes = changes(&sides.before, &sides.after);
    let trained = || changes.iter().filter(|it| it.part == Part::Experiment);
    let told: Vec<&Change> = match trained().any(|it| !it.follows) {
        true => trained().filter(|it| !it.follows).collect(),
        false => trained().collect(),
    };
    let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "–".to_owned());
    let line = |it: &&Change| format!("{}: {} → {}", it.path, side(&it.before), side(&it.after));
    let mut lines: Vec<String> = told.iter().take(SHOWN).map(line).collect();
    if told.len() > SHOWN {
        lines.push(format!("and {} more", told.len() - SHOWN));
    }
    let message = format!(
        "with these settings it is another experiment than that of `{}`",
        folder.path().display()
    );
    let own = folder.spec().display().to_string();
    let file = source(folder).unwrap_or(own);
    let command = shell::line(&["pleach", "run", &file], &sides.settings);
    Failure::wish("pleach::run::other_experiment", message)
        .detail(lines.join("\n"))
        .help(format!(
            "placement, machines, checkpoints and logs may change. `{command}` begins a new run of the other experiment"
        ))
}

/// The file of a run's spec outside of its folder, where it still is.
fn source(folder: &RunFolder) -> Option<String> {
    let source = folder.read_record().ok()??.source?;
    let is_spec = Path::new(&source).extension()? == "pleach";
    (is_spec && Path::new(&source).is_file()).then_some(source)
}

/// A refusal of what a run would go on under, with settings under which it can go on here, where some were found.
pub fn offering(failure: Failure, global: &Global, folder: &RunFolder, old: &Plan) -> Failure {
    let device_is_missing = failure.is_about("pleach::run::gpus");
    if !device_is_missing && !failure.is_about("pleach::plan::memory") {
        return failure;
    }
    let mut ranks = old.mesh.ranks();
    if !device_is_missing {
        ranks /= 2;
    }
    let counts = std::iter::successors(Some(ranks), |ranks| Some(ranks / 2));
    let counts = counts.take_while(|ranks| *ranks > 0);
    let here = counts.flat_map(|ranks| machines(ranks, device_is_missing));
    let found = here
        .map(|settings| with(settings, &global.settings))
        .find(|settings| would_run(global, folder, old, settings));
    let Some(settings) = found else {
        return failure;
    };
    let path = folder.path().display().to_string();
    let command = shell::line(&["pleach", "resume", &path], &settings);
    failure.help(format!("`{command}` goes on with it on this machine"))
}

/// Settings that ask for so many ranks here, those that change the least first.
fn machines(ranks: u32, replaced: bool) -> [Vec<Setting>; 2] {
    let setting = |path: &str, value: String| Setting {
        path: path.to_owned(),
        value,
    };
    let cluster = match (replaced, Machine::here().gpus) {
        (true, Some(gpus)) if gpus > 0 => {
            let ranks = ranks.min(gpus).to_string();
            vec![setting("cluster.gpus_per_node", ranks)]
        }
        (true, _) => {
            let named = format!("this_machine {{ gpus_per_node = {ranks} }}");
            vec![setting("cluster", named)]
        }
        (false, _) => vec![setting("cluster.gpus_per_node", ranks.to_string())],
    };
    let open = ["tp", "pp", "dp"].map(|pin| setting(&format!("plan.{pin}"), "auto".to_owned()));
    let freed = cluster.iter().cloned().chain(open).collect();
    [cluster, freed]
}

/// Settings over those that were given before: what is said of a path again, or of what holds it, holds alone.
fn with(settings: Vec<Setting>, given: &[Setting]) -> Vec<Setting> {
    let holds = |later: &Setting, own: &Setting| {
        let rest = own.path.strip_prefix(later.path.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let replaced = |own: &&Setting| settings.iter().any(|later| holds(later, own));
    let kept: Vec<Setting> = given.iter().filter(|it| !replaced(it)).cloned().collect();
    kept.into_iter().chain(settings).collect()
}

/// Whether a run goes on here with these settings.
fn would_run(global: &Global, folder: &RunFolder, old: &Plan, settings: &[Setting]) -> bool {
    let silent = Global {
        settings: settings.to_vec(),
        quiet: true,
        json: true,
        log_format: LogFormat::Text,
        ..global.clone()
    };
    let screen = Screen::new(&silent);
    let planned = plan(&screen, &silent, folder, old);
    planned.is_ok_and(|anew| planfile::runs_here(&anew.plan, &Machine::here()).is_ok())
}

/// Where files are looked up that the spec of a run names, data and a device's table: beside that spec, or in the run's folder.
pub fn files_from(folder: &RunFolder) -> PathBuf {
    source(folder).map_or_else(
        || folder.path().to_owned(),
        |source| lock::folder(Path::new(&source)).to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_setting_holds_alone() {
        let set = |texts: &[&str]| -> Vec<Setting> {
            let split = texts.iter().filter_map(|text| text.split_once('='));
            let setting = |(path, value): (&str, &str)| Setting {
                path: path.into(),
                value: value.into(),
            };
            split.map(setting).collect()
        };
        let given = set(&["plan.tp=1", "cluster.nodes=2", "plan.pp=2", "clusters=1"]);
        let all = with(set(&["cluster=this_machine", "plan.tp=4"]), &given);
        let wanted = set(&[
            "plan.pp=2",
            "clusters=1",
            "cluster=this_machine",
            "plan.tp=4",
        ]);
        assert_eq!(all, wanted);
    }
}
