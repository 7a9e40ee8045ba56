//! Names nobody knows: what was probably meant, from this language's own names and from those of its neighbours.

use super::coerce::with_unit;
use super::instantiate::constant_rate;
use crate::names::nearest;
use crate::problem::Problem;
use crate::schema::{
    COMPUTED, EXPERIMENT, NEIGHBOURS, PHASE, RATES, SEGMENTS, Section, Type, WORDS_OF_NEIGHBOURS,
};
use crate::syntax::Place;

/// A longer value is not repeated in a help.
const LONGEST_VALUE: usize = 24;

/// The problem of a field that a section does not have. `path` is the section's dotted path, empty for the experiment.
pub fn unknown_field(section: &'static Section, path: &str, name: &str, place: Place) -> Problem {
    unknown_and_meant(section, path, name, place, None).0
}

/// The same, with the field of this section that was probably meant; `value` is what it was set to.
pub fn unknown_and_meant(
    section: &'static Section,
    path: &str,
    name: &str,
    place: Place,
    value: Option<&str>,
) -> (Problem, Option<&'static str>) {
    if section.later.contains(&name) {
        let help = format!(
            "leave it out; the fields of `{}` are {}",
            section.name,
            list(section)
        );
        return (not_yet(&format!("`{name}`"), place).help(help), None);
    }
    let title = format!("`{}` has no field `{name}`", section.name);
    let problem = Problem::error("pleach::field::unknown", title, place, "no such field");
    let value = value.filter(|value| value.len() <= LONGEST_VALUE && !value.contains('\n'));
    match suggestion(section, path, name) {
        Some(Suggestion::Here(help, meant)) => (problem.help(help), meant),
        Some(Suggestion::Moved(owner, field, whose)) => {
            let title = match path {
                "" => format!("`{name}` is not a field of an experiment"),
                path => format!("`{path}.{name}` is not a field of `{path}`"),
            };
            let problem = Problem::error("pleach::field::unknown", title, place, belongs(&owner));
            let as_theirs = whose.map_or(String::new(), |whose| {
                format!(" (`{name}` is its name in {whose})")
            });
            let entry = moved(&owner, &field, &fitting(&owner, &field, value));
            (problem.help(format!("move it: `{entry}`{as_theirs}")), None)
        }
        None if section.fields.len() <= 8 => (
            problem.help(format!(
                "the fields of `{}` are {}",
                section.name,
                list(section)
            )),
            None,
        ),
        None => (problem, None),
    }
}

/// The word of ours that a neighbour's stands for, as a help; none unless it is one of those that are wanted.
pub fn meant_by_neighbour(word: &str, wanted: &[&str]) -> Option<String> {
    let lower = word.to_lowercase().replace('-', "_");
    let (_, ours, whose) = WORDS_OF_NEIGHBOURS
        .iter()
        .find(|(theirs, ours, _)| *theirs == lower && wanted.contains(ours))?;
    Some(format!(
        "did you mean `{ours}`? (`{word}` is its name in {whose})"
    ))
}

/// Something the language knows and this version does not build.
pub fn not_yet(what: &str, place: Place) -> Problem {
    Problem::error(
        "pleach::not_yet",
        format!("{what} is part of the language but not built yet"),
        place,
        "not built yet",
    )
}

/// The fields of a section, for a help.
fn list(section: &'static Section) -> String {
    section
        .fields
        .iter()
        .map(|field| format!("`{}`", field.name))
        .collect::<Vec<_>>()
        .join(", ")
}

/// What was probably meant by a field's name.
enum Suggestion {
    /// A help, and the field where it is one of this section.
    Here(String, Option<&'static str>),
    /// A field of another section, and who calls it as it was written.
    Moved(String, String, Option<&'static str>),
}

fn suggestion(section: &'static Section, path: &str, name: &str) -> Option<Suggestion> {
    use Suggestion::{Here, Moved};
    let own = || section.fields.iter().map(|field| field.name);
    let lower = name.to_lowercase().replace('-', "_");
    if let Some(found) = own().find(|own| own.to_lowercase() == lower) {
        return Some(Here(format!("did you mean `{found}`?"), Some(found)));
    }
    if let Some(help) = of_another_schedule(section, &lower) {
        return Some(Here(help, None));
    }
    if let Some((_, advice)) = COMPUTED
        .iter()
        .copied()
        .flatten()
        .find(|(theirs, _)| *theirs == lower)
    {
        return Some(Here((*advice).to_string(), None));
    }
    if let Some((_, ours, whose)) = NEIGHBOURS
        .iter()
        .copied()
        .flatten()
        .find(|(theirs, ..)| *theirs == lower)
    {
        let (owner, field) = ours.rsplit_once('.').unwrap_or(("", ours));
        // A column of phases has the name and the meaning of a field elsewhere.
        if std::ptr::eq(section, &PHASE)
            && let Some(column) = section.field(field)
        {
            let help = format!("did you mean `{field}`? (`{name}` is its name in {whose})");
            return Some(Here(help, Some(column.name)));
        }
        return Some(match neighbour(path, name, (owner, field), whose) {
            Some(help) => Here(help, (owner == path).then_some(field)),
            None => Moved(owner.to_string(), field.to_string(), Some(whose)),
        });
    }
    if let Some(found) = nearest(name, own()) {
        return Some(Here(format!("did you mean `{found}`?"), Some(found)));
    }
    let owner = owner_of(&EXPERIMENT, "", name)?;
    Some(Moved(owner, name.to_string(), None))
}

/// What a rate of the whole run and the rate of a phase call each other's fields.
fn of_another_schedule(section: &'static Section, name: &str) -> Option<String> {
    let is = |kinds: &[&'static Section]| kinds.iter().any(|kind| std::ptr::eq(*kind, section));
    let help = match name {
        "peak" | "end" | "over" if is(SEGMENTS) => {
            "in a phase, a rate goes on from where it was: write `to = …`"
        }
        "warmup" | "version" if is(SEGMENTS) => {
            "a phase has no warm-up of its own: make it a phase, `linear { to = … }`"
        }
        "to" if is(RATES) => "did you mean `end`? (`to` belongs to phases)",
        "from" | "at" if is(RATES) => "did you mean `peak`? (`from` and `at` belong to phases)",
        _ => return None,
    };
    Some(help.to_string())
}

/// The help for a neighbour's name whose field is in this section or below it.
fn neighbour(path: &str, name: &str, (owner, field): (&str, &str), whose: &str) -> Option<String> {
    if owner == path {
        return Some(format!(
            "did you mean `{field}`? (`{name}` is its name in {whose})"
        ));
    }
    let inner = owner
        .strip_prefix(path)
        .map(|rest| rest.trim_start_matches('.'))
        .filter(|rest| !rest.is_empty() && !path.is_empty())?;
    Some(format!(
        "did you mean `{field}` of `{inner}`? (`{name}` is its name in {whose})"
    ))
}

/// Where a field belongs, as a label.
fn belongs(owner: &str) -> String {
    match owner {
        "" => "it belongs to the experiment".to_string(),
        "plan" => "the placement belongs to `plan`".to_string(),
        owner => format!("it belongs to `{owner}`"),
    }
}

/// A value as the field it is moved to takes it: a bare rate is a schedule that stays where it is.
fn fitting(owner: &str, field: &str, value: Option<&str>) -> String {
    let value = value.unwrap_or("…");
    let mut section = Some(&EXPERIMENT);
    for part in owner.split('.').filter(|part| !part.is_empty()) {
        section = section
            .and_then(|section| section.field(part))
            .and_then(|field| match field.holds {
                Type::Section(inner) | Type::Declared(_, inner) => Some(inner),
                _ => None,
            });
    }
    let field = section.and_then(|section| section.field(field));
    let rate = field.and_then(constant_rate);
    let number = value.parse::<f64>().is_ok();
    match (field.map(|field| field.holds), rate) {
        (_, Some((kind, peak))) if number => format!("{kind} {{ {peak} = {value} }}"),
        (Some(Type::Words(words)), _) if !words.contains(&value) => "…".to_string(),
        (Some(_), _) if number => field.map_or(String::new(), |field| with_unit(field, value)),
        _ => value.to_string(),
    }
}

/// How a field is set from the experiment's block.
fn moved(owner: &str, field: &str, value: &str) -> String {
    match owner.split_once('.') {
        Some((first, rest)) => format!("{first} {{ {rest}.{field} = {value} }}"),
        None if owner.is_empty() => format!("{field} = {value}"),
        None => format!("{owner} {{ {field} = {value} }}"),
    }
}

/// The section of the experiment that has a field of this name.
fn owner_of(section: &'static Section, path: &str, name: &str) -> Option<String> {
    section.fields.iter().find_map(|field| {
        let (Type::Section(inner) | Type::Declared(_, inner) | Type::Stack(inner)) = field.holds
        else {
            return None;
        };
        let path = if path.is_empty() {
            field.name.to_string()
        } else {
            format!("{path}.{}", field.name)
        };
        if inner.field(name).is_some() && name != "about" {
            Some(path)
        } else {
            owner_of(inner, &path, name)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::TRANSFORMER;

    #[test]
    fn every_neighbour_names_a_field_that_exists() {
        for (theirs, ours, _) in NEIGHBOURS.iter().copied().flatten() {
            let mut sections: Vec<&'static Section> = vec![&EXPERIMENT];
            for part in ours.split('.') {
                let fields: Vec<_> = sections
                    .iter()
                    .filter_map(|section| section.field(part))
                    .collect();
                assert!(!fields.is_empty(), "{theirs} → {ours}: no `{part}`");
                let inner = fields.iter().flat_map(|field| match field.holds {
                    Type::Section(inner) | Type::Declared(_, inner) | Type::Stack(inner) => {
                        vec![inner]
                    }
                    Type::Variant(kinds) => kinds.to_vec(),
                    _ => Vec::new(),
                });
                sections = inner.collect();
            }
        }
    }

    #[test]
    fn neighbours_come_before_edit_distance() {
        let place = Place {
            file: 0,
            start: 0,
            end: 1,
        };
        let help = |path, name| unknown_field(&TRANSFORMER, path, name, place).help.unwrap();
        assert_eq!(
            help("model", "hidden_size"),
            "did you mean `hidden`? (`hidden_size` is its name in GPT-NeoX and Hugging Face)"
        );
        assert_eq!(help("model", "Layers"), "did you mean `layers`?");
        assert_eq!(help("model", "tp"), "move it: `plan { tp = … }`");
    }
}
