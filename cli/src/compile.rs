//! From a spec's file to its experiment, and from there to the planner's answer.
//!
//! The language and the planner are pure: files come in through [`crate::loader`], the device's table through
//! [`crate::machine`], and how long the search took is measured here.

use std::path::{Path, PathBuf};
use std::time::Instant;

use pleach_dsl::experiment::Experiment;
use pleach_dsl::{Loaded, Spec};
use pleach_plan::Plan;
use pleach_plan::hardware::Hardware;
use pleach_plan::json::placement_hash;
use pleach_planner::hardware::HardwareError;
use pleach_planner::search::{self, Answer, Nowhere, Options};
use pleach_planner::support::{self, Unsupported};
use pleach_planner::{hardware, phases, report, verify};

use crate::arguments::Global;
use crate::failure::{Failure, Outcome};
use crate::loader::Files;
use crate::lock;
use crate::machine::{self, Machine, OWN_TABLE, THIS_MACHINE};
use crate::misfit;
use crate::screen::Screen;
use crate::weights;

/// Faults of a program's meaning that are shown.
const SHOWN: usize = 8;

/// An experiment with the planner's answer: of a run of phases the first one, and the others behind it.
#[derive(Debug)]
pub struct Planned {
    /// Where it was read.
    pub spec: PathBuf,
    /// The experiment, or the phase of it.
    pub experiment: Experiment,
    /// The device's table.
    pub hardware: Hardware,
    /// The answer.
    pub answer: Answer,
    /// Seconds of the search.
    pub seconds: f64,
    /// Later phases, each planned by itself.
    pub then: Vec<Planned>,
}

/// Reads a spec with all it offers, held against the lockfile beside it.
pub fn spec(global: &Global, file: &Path) -> Outcome<Spec> {
    let mut spec = unlocked(global, file)?;
    lock::hold(&mut spec, file)?;
    Ok(spec)
}

/// Reads a spec with all it offers, whatever a lockfile says.
pub fn unlocked(global: &Global, file: &Path) -> Outcome<Spec> {
    let files = Files::of(file)?;
    let settings: Vec<(String, String)> = global
        .settings
        .iter()
        .map(|setting| (setting.path.clone(), setting.value.clone()))
        .collect();
    Ok(Spec::read(&file.to_string_lossy(), &files, &settings))
}

/// Reads the chosen experiment or run of a spec as it stands, problems and all.
pub fn load(global: &Global, file: &Path) -> Outcome<Loaded> {
    Ok(spec(global, file)?.load(global.experiment.as_deref()))
}

/// Holds what a spec rests on against its lockfile once more.
pub fn held(global: &Global, file: &Path) -> Outcome<()> {
    let again = load(global, file)?.into_result();
    again
        .map(drop)
        .map_err(|problems| Failure::problems(vec![problems]))
}

/// Reads a spec that must be right; its warnings are shown.
pub fn experiment(screen: &Screen, global: &Global, file: &Path) -> Outcome<Experiment> {
    let (experiment, warnings) = load(global, file)?
        .into_result()
        .map_err(|problems| Failure::problems(vec![problems]))?;
    screen.warn_of(&warnings);
    Ok(experiment)
}

/// Plans a spec.
pub fn plan(
    screen: &Screen,
    global: &Global,
    file: &Path,
    alternatives: usize,
) -> Outcome<Planned> {
    let experiment = experiment(screen, global, file)?;
    supported(&experiment)?;
    weights::agree(screen, &experiment, lock::folder(file))?;
    let hardware = table(screen, &experiment, lock::folder(file))?;
    plan_on(file, experiment, hardware, alternatives)
}

/// Plans an experiment of a spec on devices of a table.
pub fn plan_on(
    file: &Path,
    experiment: Experiment,
    hardware: Hardware,
    alternatives: usize,
) -> Outcome<Planned> {
    plan_by(search::plan, file, experiment, hardware, alternatives)
}

/// A way to search.
pub type Way = fn(&Experiment, &Hardware, Options) -> Result<Answer, Nowhere>;

/// The same by another way to search.
pub fn plan_by(
    way: Way,
    file: &Path,
    experiment: Experiment,
    hardware: Hardware,
    alternatives: usize,
) -> Outcome<Planned> {
    supported(&experiment)?;
    let phases = phases::of(&experiment).into_iter();
    let planned = phases.map(|phase| plan_phase(way, file, phase, &hardware, alternatives));
    let mut planned = planned.collect::<Outcome<Vec<Planned>>>()?.into_iter();
    let mut first = planned
        .next()
        .expect("an experiment is one phase, or several");
    first.then = planned.collect();
    Ok(first)
}

fn plan_phase(
    way: Way,
    file: &Path,
    experiment: Experiment,
    hardware: &Hardware,
    alternatives: usize,
) -> Outcome<Planned> {
    let begun = Instant::now();
    let answer = way(&experiment, hardware, Options { alternatives })
        .map_err(|none| misfit::nowhere(file, &experiment, &none.rejected))?;
    Ok(Planned {
        spec: file.to_owned(),
        experiment,
        hardware: hardware.clone(),
        answer,
        seconds: begun.elapsed().as_secs_f64(),
        then: Vec::new(),
    })
}

/// Refuses what the language can say and the planner cannot plan, all of it at once.
pub fn supported(experiment: &Experiment) -> Outcome<()> {
    let large = support::oversized(experiment);
    let told = match large.is_empty() {
        true => unsupported,
        false => oversized,
    };
    let mut found = support::check(experiment).into_iter();
    let Some(first) = found.next() else {
        return Ok(());
    };
    let mut failure = told(experiment, first);
    for other in found {
        let mut other = told(experiment, other);
        failure.diagnostics.append(&mut other.diagnostics);
    }
    Err(failure)
}

/// One thing that cannot be planned yet.
fn unsupported(experiment: &Experiment, found: Unsupported) -> Failure {
    let message = format!("{} cannot be planned yet", found.what);
    let failure = Failure::wish("pleach::plan::unsupported", message);
    let help =
        "`pleach check` and `pleach explain` understand it; planning it is still to be built";
    asked(experiment, &found, failure).help(help)
}

/// One size that is beyond planning.
fn oversized(experiment: &Experiment, found: Unsupported) -> Failure {
    let message = format!("{}: too large to be planned", found.what);
    let failure = Failure::wish("pleach::plan::size", message);
    let help =
        "nothing that was ever built or trained is near it; look for a slip in digits or units";
    asked(experiment, &found, failure).help(help)
}

/// Where the spec asks for something.
fn asked(experiment: &Experiment, found: &Unsupported, failure: Failure) -> Failure {
    match said(experiment, found.path) {
        Some(place) => failure.detail(place),
        None => failure,
    }
}

/// What the spec says of a field or of what is below it, and where.
fn said(experiment: &Experiment, field: &str) -> Option<String> {
    let below = format!("{field}.");
    let mut origins = experiment.origins.iter();
    let (path, origin) = origins.find(|(path, _)| *path == field || path.starts_with(&below))?;
    let mut lines = origin.text.lines();
    let first = lines.next().unwrap_or_default();
    let rest = if lines.next().is_some() { " …" } else { "" };
    Some(format!("`{path}`: {first}{rest} ({origin})"))
}

/// The table of the devices of an experiment, whose own tables lie below a folder.
pub fn table(screen: &Screen, experiment: &Experiment, folder: &Path) -> Outcome<Hardware> {
    let cluster = &experiment.cluster;
    let ranks = u32::try_from(cluster.gpus_per_node).unwrap_or(u32::MAX);
    if let Some(path) = cluster.device.strip_prefix(OWN_TABLE) {
        let place = |failure: Failure| match said(experiment, "cluster.device") {
            Some(place) => failure.line(place),
            None => failure,
        };
        let table = machine::read_table(&folder.join(path)).map_err(place)?;
        machine::joined(&table, cluster).map_err(place)?;
        return Ok(table.shared_by(ranks));
    }
    if cluster.device != THIS_MACHINE {
        return hardware::of(cluster, experiment.train.precision).map_err(|error| no_table(&error));
    }
    let table = Machine::here().table()?;
    match &table.file {
        Some(path) => screen.detail(&format!("this machine's own table: {}", path.display())),
        None => screen.note("this machine is not measured; figures rest on an assumed table (`pleach calibrate` measures)"),
    }
    Ok(table.hardware.shared_by(ranks))
}

/// A device that no table measures and the spec says too little of.
fn no_table(error: &HardwareError) -> Failure {
    let failure = Failure::wish("pleach::cluster::device", error.to_string());
    match error {
        HardwareError::Figures { missing, .. } => {
            let listed: Vec<String> = missing.iter().map(|field| format!("`{field}`")).collect();
            failure.help(format!(
                "give its data sheet's {} in `cluster`, or build on a preset: presets/clusters.pleach",
                listed.join(", ")
            ))
        }
        _ => failure.help("build on a preset that is measured: presets/clusters.pleach"),
    }
}

impl Planned {
    /// The experiment on the machines that were chosen.
    pub fn settled(&self) -> Experiment {
        self.experiment.on_nodes(self.answer.chosen.nodes)
    }

    /// All phases, in order.
    pub fn phases(&self) -> impl Iterator<Item = &Planned> {
        std::iter::once(self).chain(&self.then)
    }

    /// Its name, where it is a phase of a run.
    pub fn name(&self) -> Option<&str> {
        let part = self.experiment.train.part.as_ref();
        part.map(|part| part.name.as_str())
    }

    /// The chosen plan with its prediction and later phases, verified: what `run` runs and `--out` writes.
    pub fn verified(&self) -> Outcome<Plan> {
        let mut plan = self.verified_alone()?;
        let then = self.then.iter().map(Planned::verified_alone);
        plan.then = then.collect::<Outcome<_>>()?;
        if !plan.then.is_empty() {
            plan.hashes.placement = placement_hash(&plan);
        }
        Ok(plan)
    }

    /// The same of one phase.
    fn verified_alone(&self) -> Outcome<Plan> {
        let chosen = &self.answer.chosen;
        verify::verify(&chosen.plan, &self.experiment).map_err(|faults| {
            let lines: Vec<String> = faults.iter().take(SHOWN).map(ToString::to_string).collect();
            Failure::machine(
                "pleach::fault::meaning",
                "the planner made a program that does not mean the experiment",
            )
            .detail(lines.join("\n"))
            .help(format!(
                "this is a fault of pleach: report it with the spec's hash, {}",
                self.experiment.hash
            ))
        })?;
        let mut plan = chosen.plan.clone();
        plan.prediction = Some(report::prediction(chosen, &self.hardware, &self.experiment));
        Ok(plan)
    }
}
