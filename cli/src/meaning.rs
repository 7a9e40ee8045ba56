//! Whether a plan file still means its spec: structure alone does not say what a program computes.
//!
//! In comes a plan that was read from a file, and a spec: one that was named, or the copy that stands in a run's folder. Out comes
//! nothing, a refusal, or one line that says that nobody could compare them.

use std::path::Path;

use pleach_dsl::experiment::Experiment;
use pleach_plan::Plan;
use pleach_planner::verify;

use crate::arguments::{Global, Setting};
use crate::compile;
use crate::failure::{Failure, Outcome};
use crate::screen::Screen;

/// Faults that are shown.
const SHOWN: usize = 8;

/// How a run's folder notes what the command line replaced, below the spec's own text.
const SETTING: &str = "# --set ";

/// Verifies a plan against the spec that the reader names; the spec must be the plan's own.
pub fn of_named(screen: &Screen, global: &Global, plan: &Plan, spec: &Path) -> Outcome<()> {
    let experiment = compile::experiment(screen, &chosen(global, plan), spec)?;
    let (found, wanted) = (&experiment.hash, &plan.hashes.experiment);
    if found != wanted {
        let message = format!(
            "the plan was not made from `{}`: they are different experiments",
            spec.display()
        );
        return Err(Failure::wish("pleach::plan::other_spec", message)
            .detail(format!(
                "the plan's experiment is {wanted}\nthe spec's is            {found}"
            ))
            .help("name the spec that it was planned from, with the same `--set`, or plan again"));
    }
    compare(plan, &experiment)
}

/// Verifies a plan against the spec that lies beside it in a run's folder; where that cannot be read by itself, says so.
pub fn of_folder(screen: &Screen, plan: &Plan, folder: &Path) -> Outcome<()> {
    let spec = folder.join("spec.pleach");
    match beside(plan, &spec) {
        Some(experiment) => compare(plan, &experiment),
        None => {
            screen.note("the spec is not at hand, so the plan's meaning is not verified again (`pleach run PLAN.json --spec FILE` does)");
            Ok(())
        }
    }
}

/// The experiment of a run's own spec, if it is still the plan's.
pub fn beside(plan: &Plan, spec: &Path) -> Option<Experiment> {
    let text = std::fs::read_to_string(spec).ok()?;
    let global = Global {
        settings: parted(&text).1,
        ..Global::default()
    };
    let loaded = compile::load(&chosen(&global, plan), spec).ok()?;
    let (experiment, _) = loaded.into_result().ok()?;
    (experiment.hash == plan.hashes.experiment).then_some(experiment)
}

/// The text of a spec as a run's folder keeps it: with what the command line replaced.
pub fn with_settings(text: &str, settings: &[Setting]) -> String {
    let lines = settings
        .iter()
        .map(|setting| format!("\n{SETTING}{}={}", setting.path, setting.value));
    std::iter::once(text.to_owned()).chain(lines).collect()
}

/// What [`with_settings`] was given: the spec's own text, and the settings below it.
pub fn parted(text: &str) -> (&str, Vec<Setting>) {
    let (mut own, mut settings) = (text, Vec::new());
    while let Some((rest, last)) = own.rsplit_once('\n')
        && let Some((path, value)) = last.strip_prefix(SETTING).and_then(|it| it.split_once('='))
    {
        settings.push(Setting {
            path: path.to_owned(),
            value: value.to_owned(),
        });
        own = rest;
    }
    settings.reverse();
    (own, settings)
}

/// The plan's own experiment, unless the reader names another.
pub fn chosen(global: &Global, plan: &Plan) -> Global {
    let mut global = global.clone();
    global
        .experiment
        .get_or_insert_with(|| plan.experiment.clone());
    global
}

fn compare(plan: &Plan, experiment: &Experiment) -> Outcome<()> {
    verify::verify(plan, experiment).map_err(|faults| {
        let lines: Vec<String> = faults.iter().take(SHOWN).map(ToString::to_string).collect();
        Failure::wish(
            "pleach::plan::meaning",
            "the plan does not compute what its spec says",
        )
        .detail(lines.join("\n"))
        .help("plan again from the spec: `pleach plan FILE --out PLAN.json`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_back_from_a_runs_spec() {
        let settings =
            [("train.steps", "8 steps"), ("plan.tp", "1")].map(|(path, value)| Setting {
                path: path.into(),
                value: value.into(),
            });
        let own = "experiment a { }\n# --set no=1\n";
        let text = with_settings(own, &settings);
        assert_eq!(parted(&text), (own, settings.to_vec()));
        assert_eq!(parted(own), (own, Vec::new()));
    }
}
