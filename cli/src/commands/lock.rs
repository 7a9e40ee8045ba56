//! `pleach lock FILE [NAME…]`: writes what a spec rests on into `pleach.lock` beside it, and says what moved.

use pleach_storage::lockfile::{Lockfile, NAME};
use serde_json::{Value, json};

use crate::arguments::{Global, LockArguments};
use crate::compile;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::lock::{self, Standing};
use crate::screen::Screen;

/// Locks everything, or only what is named.
pub fn lock(screen: &Screen, global: &Global, arguments: &LockArguments) -> Outcome<Exit> {
    let file = &arguments.file;
    let mut spec = compile::unlocked(global, file)?;
    let checked = spec.check(global.experiment.as_deref());
    if checked.problems.errors() > 0 {
        return Err(Failure::problems(vec![checked.problems]));
    }
    let standing = lock::standing(&mut spec, file)?;
    known(&arguments.names, &standing)?;
    let before = lock::read(file)?;
    let mut after = before.clone().unwrap_or_else(Lockfile::new);
    let wanted = |standing: &&Standing| {
        let mut names = arguments.names.iter();
        arguments.names.is_empty() || names.any(|name| standing.is_called(name))
    };
    let mut told = Vec::new();
    for standing in standing.iter().filter(wanted) {
        told.push((standing, state(standing, &after)));
        standing.lock(&mut after);
    }
    if before.as_ref() != Some(&after) {
        after
            .write(lock::folder(file))
            .map_err(|error| lock::lockfile_failure(&error))?;
    }
    tell(screen, &told);
    Ok(Exit::Fine)
}

/// What happens to one thing.
fn state(standing: &Standing, lock: &Lockfile) -> String {
    match (&standing.content, standing.locked(lock)) {
        (None, _) => "not locked: this version cannot look into it".to_owned(),
        (Some(_), None) => "new".to_owned(),
        (Some(found), Some(locked)) if found == locked => "as it was".to_owned(),
        (Some(found), Some(locked)) => format!("accepted: {}", locked.difference(found)),
    }
}

/// Refuses names that the spec does not rest on.
fn known(names: &[String], standing: &[Standing]) -> Outcome<()> {
    let unknown = names.iter().find(|name| {
        let mut all = standing.iter();
        !all.any(|standing| standing.is_called(name))
    });
    let Some(name) = unknown else { return Ok(()) };
    let message = format!("the spec rests on nothing called `{name}`");
    let all: Vec<String> = standing.iter().map(Standing::what).collect();
    let help = match all.as_slice() {
        [] => "it imports nothing, and its data has nothing that could be locked".to_owned(),
        all => format!("it rests on the {}", all.join(", the ")),
    };
    Err(Failure::wish("pleach::lock::name", message).help(help))
}

fn tell(screen: &Screen, told: &[(&Standing, String)]) {
    if screen.json {
        let rows = told.iter().map(|(standing, state)| {
            let hash = standing.content.as_ref().map(|content| &content.hash);
            json!({"what": standing.what(), "key": standing.key, "hash": hash, "state": state})
        });
        screen.data_json(&json!({"file": NAME, "rests": rows.collect::<Vec<Value>>()}));
        return;
    }
    if told.is_empty() {
        screen.note("nothing to lock: no imports, and no data that could move");
    }
    for (standing, state) in told {
        screen.data(&format!("{}: {state}", standing.what()));
    }
}
