//! The machine's form of a problem.

use serde_json::{Value, json};

use crate::problem::{Label, Problem};
use crate::sources::Sources;

/// One problem: code, severity, message, labels, help, and the picture where there is one.
pub fn object(problem: &Problem, sources: &Sources) -> Value {
    let labels: Vec<Value> = std::iter::once(&problem.at)
        .chain(&problem.others)
        .map(|label| label_of(label, sources))
        .collect();
    let mut object = json!({
        "code": problem.code,
        "severity": problem.severity.word(),
        "message": problem.title,
        "labels": labels,
        "help": problem.help,
    });
    if let Some(picture) = &problem.picture {
        object["picture"] = Value::String(picture.clone());
    }
    object
}

/// A label with its position, counted from 1.
fn label_of(label: &Label, sources: &Sources) -> Value {
    let (line, column) = sources.position(label.place);
    json!({
        "file": sources.get(label.place.file).name,
        "line": line,
        "column": column,
        "text": label.text,
    })
}
