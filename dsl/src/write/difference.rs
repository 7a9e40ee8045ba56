//! What differs in meaning between two experiments: values side by side, told apart by which identity they belong to.
//!
//! In come two experiments as they stand, out come the paths whose exact values differ. Wording, order, comments and files are gone by then. A value whose formula is the same on
//! both sides only follows from another change.

use std::collections::{BTreeMap, BTreeSet};

use super::Line;
use crate::spec::Loaded;

/// The one part of training that is no part of the experiment's identity.
const NOT_FINITE: &str = "train.not_finite";

/// Which identity a value belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// What is trained: the experiment's hash.
    Experiment,
    /// Machines and placement: the placement's hash.
    Placement,
    /// Neither: names, `about`, checkpoints, logs, evaluation, steps that are not finite.
    Neither,
}

impl Part {
    fn of(path: &str) -> Part {
        let first = path.split('.').next().unwrap_or_default();
        match first {
            // The name of a declaration; what it says has paths of its own.
            _ if matches!(path, "model" | "data" | "cluster") => Part::Neither,
            // What a run does about it may change from one attempt to the next.
            _ if path == NOT_FINITE || path.starts_with(&format!("{NOT_FINITE}.")) => Part::Neither,
            "model" | "data" | "train" | "seed" => Part::Experiment,
            "cluster" | "plan" => Part::Placement,
            _ => Part::Neither,
        }
    }

    /// The word of the JSON form.
    pub fn word(self) -> &'static str {
        match self {
            Part::Experiment => "experiment",
            Part::Placement => "placement",
            Part::Neither => "neither",
        }
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The dotted path; `require` and `minimize` for laws and wishes.
    pub path: String,
    /// The value on the one side, as text of the language; none where it is not there.
    pub before: Option<String>,
    /// The value on the other side.
    pub after: Option<String>,
    /// Which identity it belongs to.
    pub part: Part,
    /// Whether it only follows from another change.
    pub follows: bool,
}

/// All differences, by part and then by path.
pub fn changes(before: &Loaded, after: &Loaded) -> Vec<Change> {
    let [left, right] = [before, after].map(|side| values(&side.lines));
    let paths: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let differ = paths
        .into_iter()
        .filter(|path| left.get(*path) != right.get(*path));
    let mut changes: Vec<Change> = differ
        .map(|path| {
            let formula = |side: &Loaded| side.cells.get(path).map(|cell| cell.formula.clone());
            let (one, other) = (formula(before), formula(after));
            Change {
                path: path.clone(),
                before: left.get(path).cloned(),
                after: right.get(path).cloned(),
                part: Part::of(path),
                follows: one.is_some() && one == other,
            }
        })
        .collect();
    changes.extend(wishes(before, after));
    changes.sort_by_key(|change| change.part);
    changes
}

/// The text behind each path.
fn values(lines: &[Line]) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for line in lines {
        let Some(path) = &line.path else { continue };
        let text = line.text.trim_end_matches(['{', '[']).trim_end();
        let name = path.rsplit('.').next().unwrap_or(path);
        let value = text.strip_prefix(name).map_or(text, str::trim_start);
        let value = value
            .strip_prefix(['=', '|'])
            .map_or(value, str::trim_start);
        if !value.is_empty() {
            values
                .entry(path.clone())
                .or_insert_with(|| value.to_string());
        }
    }
    values
}

/// Laws and wishes that only one side has.
fn wishes(before: &Loaded, after: &Loaded) -> Vec<Change> {
    const WORDS: [&str; 3] = ["require", "minimize", "maximize"];
    let said = |side: &Loaded| -> BTreeSet<(&'static str, String)> {
        let texts = side.lines.iter().map(|line| line.text.as_str());
        texts
            .filter_map(|text| {
                let word = WORDS
                    .into_iter()
                    .find(|word| text.starts_with(&format!("{word} ")))?;
                Some((word, text[word.len()..].trim_start().to_string()))
            })
            .collect()
    };
    let (left, right) = (said(before), said(after));
    let only = |one: &BTreeSet<(&'static str, String)>, other: &BTreeSet<_>| -> Vec<_> {
        one.difference(other).cloned().collect()
    };
    let change = |(word, before, after): (&str, Option<String>, Option<String>)| Change {
        path: word.to_string(),
        before,
        after,
        part: Part::Placement,
        follows: false,
    };
    let gone = only(&left, &right).into_iter();
    let new = only(&right, &left).into_iter();
    gone.map(|(word, text)| (word, Some(text), None))
        .chain(new.map(|(word, text)| (word, None, Some(text))))
        .map(change)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_no_hash_is_in_neither_part() {
        let parts = [
            "train.not_finite",
            "train.not_finite.times",
            "train.not_finite_else",
        ];
        let wanted = [Part::Neither, Part::Neither, Part::Experiment];
        assert_eq!(parts.map(Part::of), wanted);
        assert_eq!(Part::of("train.lr.peak"), Part::Experiment);
    }
}
