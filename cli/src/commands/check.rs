//! `pleach check FILE…`: all problems of all experiments at once.

use std::path::Path;

use pleach_dsl::Problems;

use crate::arguments::{CheckArguments, Global};
use crate::compile;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::loader::Files;
use crate::screen::{Screen, all_json};

/// Checks; with `--json` the diagnostics are the answer, so they go to stdout, an empty array where all is well.
pub fn check(screen: &Screen, global: &Global, arguments: &CheckArguments) -> Outcome<Exit> {
    let mut found = Failure::problems(Vec::new());
    let mut fine = Vec::new();
    for file in &arguments.files {
        match check_file(global, file) {
            Ok(problems) => {
                let errors: usize = problems.iter().map(Problems::errors).sum();
                let warnings = problems
                    .iter()
                    .map(|problems| problems.iter().count())
                    .sum::<usize>()
                    - errors;
                if errors == 0 {
                    fine.push(summary(file, problems.len(), warnings));
                }
                found.problems.extend(problems);
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

/// The problems of each experiment of a file; of the file itself where it declares none.
fn check_file(global: &Global, file: &Path) -> Outcome<Vec<Problems>> {
    let names = match &global.experiment {
        Some(name) => vec![name.clone()],
        None => pleach_dsl::experiments(&file.to_string_lossy(), &Files::of(file)?),
    };
    if names.len() < 2 {
        return Ok(vec![compile::load(global, file, None)?.problems]);
    }
    names
        .iter()
        .map(|name| Ok(compile::load(global, file, Some(name))?.problems))
        .collect()
}

fn summary(file: &Path, experiments: usize, warnings: usize) -> String {
    let shown = file.display();
    let several = if experiments > 1 {
        format!("{experiments} experiments, ")
    } else {
        String::new()
    };
    match warnings {
        0 => format!("{shown}: {several}no problems"),
        1 => format!("{shown}: {several}no errors, 1 warning"),
        _ => format!("{shown}: {several}no errors, {warnings} warnings"),
    }
}
