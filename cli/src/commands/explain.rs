//! `pleach explain FILE [PATH]`: a value, its formula, and where each part of it came from. `pleach explain CODE`: the page of
//! a diagnostic.

use std::collections::BTreeMap;

use pleach_dsl::explain::{self, Cell};
use serde_json::{Value, json};

use crate::arguments::{ExplainArguments, Global};
use crate::compile;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::pages;
use crate::screen::Screen;

/// Shows one value, or lists all of them.
pub fn explain(screen: &Screen, global: &Global, arguments: &ExplainArguments) -> Outcome<Exit> {
    if let Some(code) = arguments
        .subject
        .to_str()
        .filter(|subject| subject.contains("::"))
    {
        return explain_code(screen, code);
    }
    let loaded = compile::load(global, &arguments.subject)?;
    if loaded.cells.is_empty() {
        return Err(Failure::problems(vec![loaded.problems]));
    }
    let cells = &loaded.cells;
    let wanted: Vec<(&String, &Cell)> = match &arguments.path {
        None => cells.iter().collect(),
        Some(path) => match cells.get_key_value(path) {
            Some(found) => std::iter::once(found).chain(inside(cells, path)).collect(),
            None => below(cells, path)?,
        },
    };
    if screen.json {
        screen.data_json(&values(wanted));
    } else if let [(path, _)] = wanted[..] {
        screen.data(&explain::explain(cells, path).unwrap_or_default());
    } else {
        wanted.iter().for_each(|(path, cell)| {
            screen.data(&format!("{path} = {}   ({})", cell.value, cell.origin))
        });
    }
    if loaded.problems.errors() > 0 {
        return Err(Failure::problems(vec![loaded.problems]));
    }
    Ok(Exit::Fine)
}

/// The page of a code, as it is tested.
fn explain_code(screen: &Screen, code: &str) -> Outcome<Exit> {
    let Some(page) = pages::page(code) else {
        let nearest = pages::codes()
            .into_iter()
            .min_by_key(|known| strsim::damerau_levenshtein(known, code));
        let help = nearest.map_or_else(String::new, |known| {
            format!("the nearest code with a page is `{known}`")
        });
        return Err(Failure::wish(
            "pleach::explain::no_page",
            format!("there is no page about `{code}`"),
        )
        .help(help));
    };
    if screen.json {
        screen.data_json(&json!({"code": code, "page": page}));
    } else {
        screen.data(page);
    }
    Ok(Exit::Fine)
}

/// The values inside of a section.
fn inside<'c>(cells: &'c BTreeMap<String, Cell>, path: &str) -> Vec<(&'c String, &'c Cell)> {
    let section = format!("{path}.");
    let inside = cells.iter();
    inside
        .filter(|(name, _)| name.starts_with(&section))
        .collect()
}

/// The values of a section.
fn below<'c>(
    cells: &'c BTreeMap<String, Cell>,
    path: &str,
) -> Outcome<Vec<(&'c String, &'c Cell)>> {
    let inside = inside(cells, path);
    if !inside.is_empty() {
        return Ok(inside);
    }
    let last = path.rsplit('.').next().unwrap_or(path);
    let like = |name: &&String| {
        strsim::damerau_levenshtein(name, path) <= (path.len() / 3).max(1)
            || name.rsplit('.').next() == Some(last)
    };
    let nearest: Vec<String> = cells
        .keys()
        .filter(like)
        .take(8)
        .map(|name| format!("`{name}`"))
        .collect();
    let help = match nearest.as_slice() {
        [] => "without a path, all values are listed".to_owned(),
        [one] => format!("did you mean {one}?"),
        several => format!("did you mean one of {}?", several.join(", ")),
    };
    Err(Failure::wish(
        "pleach::explain::unknown",
        format!("the experiment has no value `{path}`"),
    )
    .help(help))
}

/// Values for programs, by path.
pub fn values<'c>(cells: impl IntoIterator<Item = (&'c String, &'c Cell)>) -> Value {
    let values = cells.into_iter();
    Value::Object(
        values
            .map(|(path, cell)| (path.clone(), value(cell)))
            .collect(),
    )
}

fn value(cell: &Cell) -> Value {
    let origin = |origin: &pleach_dsl::origin::Origin| {
        json!({"layer": origin.layer.to_string(), "file": origin.file, "line": origin.line, "column": origin.column,
            "text": origin.text})
    };
    json!({"value": cell.value, "formula": cell.formula, "origin": origin(&cell.origin),
        "replaces": cell.before.iter().map(origin).collect::<Value>(), "about": cell.doc, "mentions": cell.mentions})
}
