//! `pleach hash FILE`: the two identities: what is trained, which placement and wording do not change; and machines with what is said of the
//! placement.

use serde_json::json;

use crate::arguments::{FileArguments, Global};
use crate::compile;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::screen::Screen;

/// Prints them; machines are not needed for the first.
pub fn hash(screen: &Screen, global: &Global, arguments: &FileArguments) -> Outcome<Exit> {
    let loaded = compile::load(global, &arguments.file)?;
    let (Some(name), Some(hash), Some(placement)) =
        (&loaded.name, &loaded.hash, &loaded.placement_hash)
    else {
        return Err(Failure::problems(vec![loaded.problems]));
    };
    screen.warn_of(&loaded.problems);
    if screen.json {
        screen.data_json(&json!({"name": name, "hash": hash, "placement_hash": placement}));
    } else {
        screen.data(&format!(
            "{hash}  {name}\n{placement}  {name}, machines and placement"
        ));
    }
    Ok(Exit::Fine)
}
