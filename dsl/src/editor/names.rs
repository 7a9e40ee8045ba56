//! Names that are offered: what each is, and the lists they come from.

use crate::evaluate::{BUILTINS, SEQUENCES, UNIT_WORDS, Unit, find_unit};
use crate::quantity::Dimension;
use crate::resolve::Scope;
use crate::schema::{FAMILIES, FIGURES, Field, STAGES, Section, Type};
use crate::syntax::Kind;

/// What a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A field of the section.
    Field,
    /// A section that is edited in place.
    Section,
    /// A kind of section: `cosine`.
    Kind,
    /// A word: `fp16`.
    Word,
    /// A word of the language.
    Keyword,
    /// A declaration in this file or in one it imports.
    Declaration,
    /// A unit.
    Unit,
    /// A built-in function.
    Function,
    /// A figure of the placement: `memory.peak`.
    Figure,
    /// A shipped file.
    File,
}

/// A name that may stand at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The whole name.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// What it means, in one sentence; may be empty.
    pub about: String,
}

impl Completion {
    /// A name with what it means.
    pub fn new(name: impl Into<String>, role: Role, about: impl Into<String>) -> Completion {
        Completion {
            name: name.into(),
            role,
            about: about.into(),
        }
    }
}

/// Fields of sections, without those that are set.
pub fn fields(sections: &[&'static Section], taken: &[String]) -> Vec<Completion> {
    let fields = sections.iter().flat_map(|section| section.fields);
    let free = fields.filter(|field| !taken.iter().any(|name| name == field.name));
    free.map(|field| {
        let in_place = matches!(field.holds, Type::Section(_));
        let role = if in_place { Role::Section } else { Role::Field };
        Completion::new(field.name, role, field.doc)
    })
    .collect()
}

/// Words of the language.
pub fn keywords(words: &[&str]) -> Vec<Completion> {
    let words = words.iter();
    words
        .map(|word| Completion::new(*word, Role::Keyword, ""))
        .collect()
}

/// The built-in functions.
pub fn functions() -> Vec<Completion> {
    let names = BUILTINS.iter();
    names
        .map(|name| Completion::new(*name, Role::Function, ""))
        .collect()
}

/// The figures of a placement.
pub fn figures() -> Vec<Completion> {
    let figures = FIGURES.iter();
    figures
        .map(|(name, dimension)| Completion::new(*name, Role::Figure, dimension.in_words()))
        .collect()
}

/// What a field takes by name.
pub fn values(field: &Field, files: &[Scope]) -> Vec<Completion> {
    let word = |word: &&str| Completion::new(*word, Role::Word, "");
    let mut names = match field.holds {
        Type::Words(words) | Type::WordList(words) => words.iter().map(word).collect(),
        Type::Stages => STAGES.iter().map(word).collect(),
        Type::Truth => ["true", "false"].iter().map(word).collect(),
        Type::Variant(kinds) => kinds
            .iter()
            .map(|kind| Completion::new(kind.name, Role::Kind, kind.doc))
            .collect(),
        Type::Declared(kind, _) => declarations(kind, files),
        Type::Stack(layer) => vec![Completion::new(layer.name, Role::Kind, layer.doc)],
        _ => Vec::new(),
    };
    names.extend(field.or_word.iter().map(word));
    names.extend(
        field
            .named
            .into_iter()
            .flat_map(|kind| declarations(kind, files)),
    );
    if field.open {
        names.push(Completion::new(
            "auto",
            Role::Keyword,
            "The planner chooses.",
        ));
    }
    names
}

/// Declarations of a kind, as the first file sees them, and the families of models.
pub fn declarations(kind: Kind, files: &[Scope]) -> Vec<Completion> {
    let of = |file: usize, alias: Option<&str>| -> Vec<Completion> {
        let declarations = files[file].tree.declarations.iter();
        let fitting = declarations.filter(|declaration| declaration.kind == kind);
        let named = |name: &str| alias.map_or(name.to_string(), |alias| format!("{alias}.{name}"));
        fitting
            .map(|declaration| {
                let name = named(&declaration.name.text);
                Completion::new(name, Role::Declaration, kind.word())
            })
            .collect()
    };
    let mut names = of(0, None);
    for (alias, file) in &files[0].imports {
        if let Some(file) = file {
            names.extend(of(*file, alias.as_deref()));
        }
    }
    if kind == Kind::Model {
        let families = FAMILIES.iter();
        names.extend(families.map(|family| Completion::new(family.name, Role::Kind, family.doc)));
    }
    names
}

/// Units that fit a field.
pub fn units(field: Option<&Field>) -> Vec<Completion> {
    let dimension = match field.map(|field| field.holds) {
        Some(Type::Whole(dimension) | Type::Number(dimension)) => Some(dimension),
        Some(Type::StepsRoundedUp) => Some(Dimension::STEPS),
        Some(Type::Batch | Type::MicroBatch | Type::Length) => Some(Dimension::TOKENS),
        Some(_) => return Vec::new(),
        None => None,
    };
    let unit = |word: String, dimension: Dimension| {
        Completion::new(word, Role::Unit, dimension.in_words())
    };
    let mut names = Vec::new();
    for word in UNIT_WORDS {
        let Some(Unit::Fixed(_, own)) = find_unit(word) else {
            continue;
        };
        if dimension.is_none_or(|wanted| wanted == own) {
            names.push(unit((*word).to_string(), own));
        }
        let rate = own.over(Dimension::SECONDS);
        let time = if own == Dimension::USD { "hour" } else { "s" };
        if own != Dimension::NONE && dimension == Some(rate) {
            names.push(unit(format!("{word}/{time}"), rate));
        }
    }
    if dimension.is_none_or(|wanted| wanted == Dimension::TOKENS) {
        let words = SEQUENCES.iter();
        names.extend(words.map(|word| {
            Completion::new(*word, Role::Unit, "as many tokens as the model's `context`")
        }));
    }
    names
}
