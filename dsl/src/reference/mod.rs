//! The schema for other readers: as JSON for programs, as a page for people, as a TextMate grammar for editors.
//!
//! In comes the one table of all fields with the lists of words, units and functions; out come texts. The page and the grammar are kept in the
//! repository, and a test holds that they are what comes out here, so none of them can say anything that the checks do not.

mod json;
mod markdown;
mod textmate;

use crate::schema::{CLUSTER, DATASET, EXPERIMENT, FAMILIES, Field, Section, Type};

pub use json::schema_json;

/// The generated files of the repository: each path, and what it should hold.
pub fn generated() -> Vec<(&'static str, String)> {
    vec![
        ("dsl/REFERENCE.md", markdown::page()),
        ("grammars/pleach.tmLanguage.json", textmate::grammar()),
    ]
}

/// A section of the schema under a name of its own.
#[derive(Clone, Debug)]
struct Listed {
    /// Its name; with that of the field in front where others have the same.
    id: String,
    section: &'static Section,
}

/// Every section there is, each once: the experiment, what can be declared, and below them in the order of their fields.
fn sections() -> Vec<Listed> {
    let mut listed = Vec::new();
    let roots = [&EXPERIMENT, &DATASET, &CLUSTER];
    for root in FAMILIES.iter().copied().chain(roots) {
        gather(root, "", &mut listed);
    }
    let experiment = listed
        .iter()
        .position(|one: &Listed| std::ptr::eq(one.section, &EXPERIMENT));
    listed.rotate_left(experiment.unwrap_or(0));
    listed
}

/// Adds a section and those below it; `field` is where it was found.
fn gather(section: &'static Section, field: &str, listed: &mut Vec<Listed>) {
    if listed.iter().any(|one| std::ptr::eq(one.section, section)) {
        return;
    }
    let taken = listed.iter().any(|one| one.id == section.name);
    let id = if taken {
        format!("{field}.{}", section.name)
    } else {
        section.name.to_string()
    };
    assert!(
        listed.iter().all(|one| one.id != id),
        "two sections are called `{id}`"
    );
    listed.push(Listed { id, section });
    for field in section.fields {
        for inner in below(field) {
            gather(inner, field.name, listed);
        }
    }
}

/// The sections that a field holds.
fn below(field: &Field) -> Vec<&'static Section> {
    match field.holds {
        Type::Section(inner) | Type::Table(inner) | Type::Rows(inner) | Type::Stack(inner) => {
            vec![inner]
        }
        Type::Declared(_, inner) => vec![inner],
        Type::Variant(kinds) => kinds.to_vec(),
        _ => Vec::new(),
    }
}

/// The name of a section in this list.
fn id_of<'listed>(listed: &'listed [Listed], section: &'static Section) -> &'listed str {
    let found = listed.iter().find(|one| std::ptr::eq(one.section, section));
    found.map_or(section.name, |one| one.id.as_str())
}
