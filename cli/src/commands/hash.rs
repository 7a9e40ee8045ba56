//! `pleach hash FILE`: the identity of an experiment, which placement and wording do not change.

use serde_json::json;

use crate::arguments::{FileArguments, Global};
use crate::compile;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::screen::Screen;

/// Prints it.
pub fn hash(screen: &Screen, global: &Global, arguments: &FileArguments) -> Outcome<Exit> {
    let experiment = compile::experiment(screen, global, &arguments.file)?;
    if screen.json {
        screen.data_json(&json!({"name": experiment.name, "hash": experiment.hash}));
    } else {
        screen.data(&format!("{}  {}", experiment.hash, experiment.name));
    }
    Ok(Exit::Fine)
}
