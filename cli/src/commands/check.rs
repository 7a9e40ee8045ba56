//! `pleach check FILE…`: all problems of all experiments and of all runs of sweeps at once.

use std::path::Path;

use pleach_dsl::Checked;

use crate::arguments::{CheckArguments, Global};
use crate::compile;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::screen::figures::count;
use crate::screen::{Screen, all_json};

/// Checks; with `--json` the diagnostics are the answer, so they go to stdout, an empty array where all is well.
pub fn check(screen: &Screen, global: &Global, arguments: &CheckArguments) -> Outcome<Exit> {
    let mut found = Failure::problems(Vec::new());
    let mut fine = Vec::new();
    for file in &arguments.files {
        match compile::spec(global, file) {
            Ok(mut spec) => {
                let checked = spec.check(global.experiment.as_deref());
                if checked.problems.errors() == 0 {
                    fine.push(summary(file, &checked));
                }
                found.problems.push(checked.problems);
            }
            Err(mut failure) => {
                found.exit = failure.exit;
                found.diagnostics.append(&mut failure.diagnostics);
            }
        }
    }
    let wrong = !found.diagnostics.is_empty()
        || found.problems.iter().any(|problems| problems.errors() > 0);
    if screen.json {
        screen.data_json(&all_json(&found.problems, &found.diagnostics).into());
    } else {
        screen.failure(&found);
        fine.iter().for_each(|line| screen.note(line));
    }
    Ok(if wrong { found.exit } else { Exit::Fine })
}

/// What was checked, and that nothing is wrong with it.
fn summary(file: &Path, checked: &Checked) -> String {
    let shown = file.display();
    let mut what = Vec::new();
    if checked.experiments > 1 || checked.experiments == 1 && !checked.sweeps.is_empty() {
        let plural = if checked.experiments == 1 { "" } else { "s" };
        what.push(format!("{} experiment{plural}", checked.experiments));
    }
    if checked.experiments == 0 && checked.sweeps.is_empty() {
        what.push("declarations without an experiment".to_owned());
    }
    let runs = |runs: u64| {
        let plural = if runs == 1 { "" } else { "s" };
        format!("{} run{plural}", count(runs))
    };
    for (name, total) in &checked.sweeps {
        what.push(format!("{} of `{name}`", runs(*total)));
    }
    if checked.sweeps.len() > 1 {
        let total = checked.sweeps.iter().map(|(_, total)| total).sum();
        what.push(format!("{} in all", runs(total)));
    }
    what.push(match checked.problems.iter().count() {
        0 => "no problems".to_owned(),
        1 => "no errors, 1 warning".to_owned(),
        warnings => format!("no errors, {warnings} warnings"),
    });
    format!("{shown}: {}", what.join(", "))
}
