//! `pleach show FILE`: the experiment as it stands, every value with its origin; with `--resolved` a spec of its own that loads again.

use std::collections::BTreeMap;

use pleach_dsl::explain::Cell;
use pleach_dsl::{Line, Loaded, format};
use serde_json::json;

use crate::arguments::{Global, ShowArguments};
use crate::commands::explain;
use crate::compile;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::screen::Screen;

/// Shows it.
pub fn show(screen: &Screen, global: &Global, arguments: &ShowArguments) -> Outcome<Exit> {
    let loaded = compile::load(global, &arguments.file)?;
    if loaded.lines.is_empty() {
        return Err(Failure::problems(vec![loaded.problems]));
    }
    let resolved = written(&loaded, None)?;
    if screen.json {
        screen.data_json(&json!({
            "name": loaded.name,
            "hash": loaded.hash,
            "placement_hash": loaded.placement_hash,
            "spec": resolved,
            "values": explain::values(&loaded.cells),
        }));
    } else if arguments.resolved {
        screen.data(resolved.trim_end());
    } else {
        screen.data(written(&loaded, Some(&loaded.cells))?.trim_end());
    }
    screen.warn_of(&loaded.problems);
    Ok(Exit::Fine)
}

/// The lines as one text, laid out; with the origin of each value behind it where cells are given.
fn written(loaded: &Loaded, cells: Option<&BTreeMap<String, Cell>>) -> Outcome<String> {
    let told = |line: &Line| {
        let cell = cells?.get(line.path.as_ref()?)?;
        Some(format!("{}   # {}", line.text, cell.origin))
    };
    let lines: Vec<String> = loaded
        .lines
        .iter()
        .map(|line| told(line).unwrap_or_else(|| line.text.clone()))
        .collect();
    format("resolved", &lines.join("\n")).map_err(|problems| {
        Failure::machine(
            "pleach::fault::show",
            "the resolved spec cannot be read again",
        )
        .detail(problems.render(false))
        .help("this is a fault of pleach: report it with the spec")
    })
}
